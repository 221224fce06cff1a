"""Exports for a GPU in the sizes that people serve, checked as far as a CPU can."""
