"""Refuses a checkpoint whose vectors would not be what it means: `check` and `check_name`."""

from export.guard.folder import check
from export.guard.instructor import check_name

__all__ = ["check", "check_name"]
