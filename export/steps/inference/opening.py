"""The encoder of a model's target, as config.pbtxt says it."""

import json
from collections.abc import Mapping
from pathlib import Path

from .cpu import CpuEncoder
from .cuda import CudaEncoder
from .tensorrt import TensorRtEncoder

GpuTarget = CudaEncoder | TensorRtEncoder


def open_on_cpu(folder: Path, settings: Mapping[str, str]) -> CpuEncoder:
    """folder: of model.onnx; settings: the parameters of config.pbtxt."""
    return CpuEncoder(
        folder / "model.onnx",
        int(settings["threads"]),
        settings["precision"],
        spinning=settings["spinning"] == "true",
    )


def open_on_gpu(folder: Path, settings: Mapping[str, str], number: int, edition: str) -> GpuTarget:
    """The same on the GPU of a number.

    edition  of the model

    Raises: CannotUseGpu if something is missing.
    """
    if settings["target"] == "tensorrt":
        return open_tensorrt(folder, settings, number, edition)
    return CudaEncoder(folder / "model.onnx", number, settings["precision"])


def open_tensorrt(
    folder: Path, settings: Mapping[str, str], number: int, edition: str
) -> TensorRtEncoder:
    """Builds the engines that are not kept yet.

    Raises: CannotUseGpu if something is missing; OSError if engines cannot be kept.
    """
    return TensorRtEncoder(
        folder / "model.onnx",
        number,
        settings["precision"],
        inputs=json.loads(settings["inputs"]),
        max_tokens=int(settings["micro_batch_tokens"]),
        max_length=int(settings["max_length"]),
        edition=edition,
    )
