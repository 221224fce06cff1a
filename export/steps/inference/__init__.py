"""model.onnx → embeddings of packed micro-batches.

The exporter copies this package beside the encoder step's `model.py`, byte for byte.
"""

from .cpu import SLOWER_WHEN_FUSED, CpuEncoder, check_processor
from .feeding import Feeder
from .layout import Layout

__all__ = ["SLOWER_WHEN_FUSED", "CpuEncoder", "Feeder", "Layout", "check_processor"]
