"""Checkpoint → Triton model repository, verified before it is published."""

from export.pipeline import ExportOptions, ExportResult, export_model
from export.repository import Serving

__all__ = ["ExportOptions", "ExportResult", "Serving", "export_model"]
