"""model.onnx → embeddings of packed micro-batches.

The exporter copies this package beside the encoder step's `model.py`, byte for byte.
"""

from .canary import CANARY, Canary, WrongVectors, cosines, write_canary
from .cpu import SLOWER_WHEN_FUSED, CpuEncoder, check_processor
from .cuda import CudaEncoder
from .device import CannotUseGpu
from .feeding import Feeder
from .gpu import GpuEncoder, OutOfMemory, warm_up
from .layout import Layout
from .opening import GpuTarget, open_on_cpu, open_on_gpu
from .tensorrt import TensorRtEncoder

__all__ = [
    "CANARY",
    "SLOWER_WHEN_FUSED",
    "Canary",
    "CannotUseGpu",
    "CpuEncoder",
    "CudaEncoder",
    "Feeder",
    "GpuEncoder",
    "GpuTarget",
    "Layout",
    "OutOfMemory",
    "TensorRtEncoder",
    "WrongVectors",
    "check_processor",
    "cosines",
    "open_on_cpu",
    "open_on_gpu",
    "warm_up",
    "write_canary",
]
