"""What was computed once need not be computed again: the exact-text cache, off by default."""
