"""What a GPU needs of its machine, asked before a session is opened.

Left alone, onnxruntime tells of a missing library or device in a log, and runs on the CPU.
"""

import ctypes
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

# What libonnxruntime_providers_cuda.so is linked with, each after what it needs itself, and the
# packages that have it.
CUDA_LIBRARIES = {
    "libcudart.so.13": "nvidia-cuda-runtime",
    "libcublasLt.so.13": "nvidia-cublas",
    "libcublas.so.13": "nvidia-cublas",
    "libcurand.so.10": "nvidia-curand",
}
DRIVER = "libcuda.so.1"
NEEDED_CUDA = 13_000  # as the driver counts: 13.0
NEEDED_DRIVER = 580  # the first that has it
INSTALL = "pip install 'triton-embeddings[gpu]'"
WITH_GPUS = "a container must be run with GPUs, as by docker run --gpus all"

NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


class CannotUseGpu(Exception):
    """Something is missing; the sentence says what to install or to set."""


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU, and what there is to run on it."""

    name: str
    capability: str  # of computing, such as 9.0
    memory_bytes: int
    cuda: str  # the newest that the driver knows
    driver: str  # its version, "" where the kernel does not tell

    def __str__(self) -> str:
        memory = f"{self.memory_bytes / 2**30:.0f} GiB"
        driver = f"driver {self.driver or 'unknown'} for CUDA {self.cuda}"
        return f"{self.name}, {memory}, compute capability {self.capability}, {driver}"


def find_device(number: int, provider: str = "CUDAExecutionProvider") -> Device:
    """The GPU of a number, with everything loaded that a provider of onnxruntime needs there.

    Raises: CannotUseGpu
    """
    check_provider(provider)
    for library, package in CUDA_LIBRARIES.items():
        load_library(library, f"{INSTALL} brings it, in {package}")
    driver = _driver()
    cuda = _number(driver, "cuDriverGetVersion")
    if cuda < NEEDED_CUDA:
        raise CannotUseGpu(
            f"the NVIDIA driver knows CUDA {_dotted(cuda)} at most, and {_dotted(NEEDED_CUDA)} is "
            f"needed: install driver {NEEDED_DRIVER} or newer"
        )
    count = _count(driver)
    if not 0 <= number < count:
        raise CannotUseGpu(
            f"there is no GPU {number}, only {count} from 0 on ({_visible()}): export with --gpus "
            "that are there"
        )
    return _describe(driver, number, cuda)


def count_devices() -> int:
    """GPUs that this process sees.

    Raises: CannotUseGpu if there is none, or no driver.
    """
    return _count(_driver())


def check_provider(name: str) -> None:
    """Raises: CannotUseGpu if onnxruntime is not the one that has it."""
    if name not in onnxruntime.get_available_providers():
        raise CannotUseGpu(
            f"this onnxruntime has no {name}: in the environment of Triton's python steps, "
            f"pip uninstall onnxruntime and {INSTALL}, which brings onnxruntime-gpu"
        )


def load_library(name: str, advice: str) -> None:
    """Where pip puts NVIDIA's, or else where the system's loader looks; for the whole process.

    In this order, as onnxruntime's own `preload_dlls`: those of pip are of one version of CUDA.

    advice  how to come by it

    Raises: CannotUseGpu
    """
    reasons = []
    for place in (*_of_pip(name), name):
        try:
            ctypes.CDLL(place, mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            reasons.append(str(error))
        else:
            return
    raise CannotUseGpu(f"{name} cannot be loaded ({reasons[0]}): {advice}")


def _of_pip(name: str) -> Iterator[str]:
    """Paths of a library in NVIDIA's packages: nvidia/cu13/lib, nvidia/cudnn/lib, tensorrt_libs."""
    for package, pattern in (("nvidia", "*/lib"), ("tensorrt_libs", ".")):
        spec = importlib.util.find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            yield from map(str, Path(folder).glob(f"{pattern}/{name}"))


def _driver() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(DRIVER)
    except OSError as error:
        raise CannotUseGpu(
            f"{DRIVER} cannot be loaded ({error}): install the NVIDIA driver, {NEEDED_DRIVER} or "
            f"newer; {WITH_GPUS}"
        ) from error


def _count(driver: ctypes.CDLL) -> int:
    """Of GPUs, at least one.

    Raises: CannotUseGpu
    """
    status = driver.cuInit(0)
    if status not in (0, NO_DEVICE):
        reason = ctypes.c_char_p()
        driver.cuGetErrorString(status, ctypes.byref(reason))
        told = (reason.value or b"").decode()
        raise CannotUseGpu(
            f"the NVIDIA driver cannot be used, error {status} ({told}): nvidia-smi on the machine "
            f"says whether it works there; {WITH_GPUS}"
        )
    count = 0 if status else _number(driver, "cuDeviceGetCount")
    if not count:
        raise CannotUseGpu(
            f"the NVIDIA driver shows no GPU ({_visible()}): set CUDA_VISIBLE_DEVICES to a number, "
            f"or to one MIG slice as nvidia-smi -L names it (MIG-…); {WITH_GPUS}"
        )
    return count


def _visible() -> str:
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    return "CUDA_VISIBLE_DEVICES is " + ("not set" if value is None else repr(value))


def _describe(driver: ctypes.CDLL, number: int, cuda: int) -> Device:
    name, size = ctypes.create_string_buffer(256), ctypes.c_size_t()
    driver.cuDeviceGetName(name, len(name), number)
    driver.cuDeviceTotalMem_v2(ctypes.byref(size), number)
    capability = (_number(driver, "cuDeviceGetAttribute", kind, number) for kind in _CAPABILITY)
    return Device(
        name=name.value.decode(errors="replace"),
        capability=".".join(map(str, capability)),
        memory_bytes=size.value,
        cuda=_dotted(cuda),
        driver=driver_version(),
    )


def driver_version(told: Path = Path("/proc/driver/nvidia/version")) -> str:
    """Such as 580.65.06; "" where the kernel does not tell."""
    try:
        words = told.read_text(encoding="utf-8").split()
    except OSError:
        return ""
    return next((word for word in words if word.replace(".", "").isdigit() and "." in word), "")


def _number(driver: ctypes.CDLL, function: str, *arguments: int) -> int:
    """What a function of the driver puts where its first argument points."""
    value = ctypes.c_int()
    driver[function](ctypes.byref(value), *arguments)
    return value.value


def _dotted(cuda: int) -> str:
    return f"{cuda // 1000}.{cuda % 1000 // 10}"
