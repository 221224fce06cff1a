"""Embeddings by onnxruntime's TensorRT provider, with engines that are kept for the next load."""

import ctypes
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime

from .cuda import open_session
from .device import Device, find_device, load_library
from .gpu import WORKERS, GpuEncoder
from .profiles import Profile

PROVIDER = "TensorrtExecutionProvider"
# What libonnxruntime_providers_tensorrt.so is linked with, beside the libraries of CUDA.
LIBRARIES = ("libnvinfer.so.10", "libnvonnxparser.so.10", "libcudnn.so.9")
ADVICE = (
    "use a Triton image that has TensorRT 10 and cuDNN 9, or pip install nvidia-cudnn-cu13 and, "
    "with --extra-index-url https://pypi.nvidia.com, 'tensorrt-cu13<11'"
)
ENGINE_CACHE = "TRITON_EMBEDDINGS_ENGINE_CACHE"  # a folder for the engines of all models


class TensorRtEncoder(GpuEncoder):
    """On one GPU, all of it in engines of TensorRT, which take minutes to build."""

    def __init__(
        self,
        path: Path,
        number: int,
        precision: str,
        *,
        inputs: Mapping[str, Sequence[str]],
        max_tokens: int,
        max_length: int,
        edition: str,
        threads: int = WORKERS,
    ) -> None:
        """Load model.onnx; build what is not in the cache.

        number      of the GPU, among those that this process sees
        inputs      sizes of the inputs of the graph, by name
        max_tokens  of a micro-batch; max_length of a text
        edition     of the model: its engines hold its weights

        Raises: CannotUseGpu if something is missing; OSError if engines cannot be kept.
        """
        self.device = find_device(number, PROVIDER)
        for library in LIBRARIES:
            load_library(library, ADVICE)
        profile = Profile.of(max_tokens, max_length)
        self.engines = engine_folder(path.parent) / edition / engine_key(self.device, _version())
        self.engines.mkdir(parents=True, exist_ok=True)
        if precision == "fp32":
            # Ten bits of a product are no fp32; the provider has no option of its own.
            os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
        options = provider_options(number, precision, self.engines) | profile.options(inputs)
        session = open_session(path, PROVIDER, options)
        super().__init__(session, precision, threads, profile.most.texts)


def provider_options(number: int, precision: str, engines: Path) -> dict[str, str]:
    """Of the TensorRT provider, but for the profile."""
    return {
        "device_id": str(number),
        "trt_fp16_enable": str(int(precision == "fp16")),
        "trt_bf16_enable": str(int(precision == "bf16")),
        "trt_layer_norm_fp32_fallback": "1",  # squares of fp16 overflow
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(engines),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(engines),
    }


def engine_key(device: Device, tensorrt: str) -> str:
    """A name for all that engines depend on beside their model."""
    parts = [
        device.name,
        f"sm{device.capability}",
        f"driver{device.driver or '-unknown'}",
        f"cuda{device.cuda}",
        f"onnxruntime{onnxruntime.__version__}",
        f"tensorrt{tensorrt}",
    ]
    return "_".join(re.sub(r"[^\w.+-]+", "-", part) for part in parts)


def engine_folder(model: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """Where engines are kept: as ENGINE_CACHE says, or beside the model, or in the user's cache.

    model  the folder of model.onnx, which may be read-only
    """
    if asked := environment.get(ENGINE_CACHE):
        return Path(asked)
    beside = model / "engines"
    if os.access(beside if beside.is_dir() else model, os.W_OK):
        return beside
    caches = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches, "triton-embeddings", "engines")


def _version() -> str:
    """Of TensorRT, such as 10.16.1."""
    number = ctypes.CDLL(LIBRARIES[0]).getInferLibVersion()
    return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"
