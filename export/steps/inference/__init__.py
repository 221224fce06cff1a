"""model.onnx → embeddings of packed micro-batches.

The exporter copies this package beside the encoder step's `model.py`, byte for byte.
"""

from .canary import CANARY, Canary, WrongVectors, write_canary
from .cpu import SLOWER_WHEN_FUSED, CpuEncoder, check_processor
from .cuda import CudaEncoder
from .device import CannotUseGpu
from .feeding import Feeder
from .gpu import GpuEncoder, OutOfMemory, warm_up
from .layout import Layout

__all__ = [
    "CANARY",
    "SLOWER_WHEN_FUSED",
    "Canary",
    "CannotUseGpu",
    "CpuEncoder",
    "CudaEncoder",
    "Feeder",
    "GpuEncoder",
    "Layout",
    "OutOfMemory",
    "WrongVectors",
    "check_processor",
    "warm_up",
    "write_canary",
]
