"""Checkpoints as sentence-transformers runs them."""

from export.reference.loading import load
from export.reference.model import Reference

__all__ = ["Reference", "load"]
