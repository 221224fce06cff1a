"""Triton from PyPI beside the gateway, in one command."""
