"""Checkpoint → Triton model repository, verified before it is published."""

import os

# Nobody is told of an export. Each is read once, when its library is imported, as happens below.
os.environ.update(ORT_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1")

from export.pipeline import ExportOptions, ExportResult, export_model
from export.serving import Serving

__all__ = ["ExportOptions", "ExportResult", "Serving", "export_model"]
