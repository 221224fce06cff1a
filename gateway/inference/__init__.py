"""How Triton is asked: the seam, chunks, turns, tensors and errors."""
