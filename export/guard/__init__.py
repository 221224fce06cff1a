"""Refuses a checkpoint whose vectors would not be what it means: `check`."""

from export.guard.folder import check

__all__ = ["check"]
