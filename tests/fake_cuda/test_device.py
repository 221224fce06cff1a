"""What a program is told that asks the fake CUDA itself, by ctypes."""

import json

import pytest

from tests.fake_cuda.run import in_fake_cuda

pytestmark = pytest.mark.fake_cuda

DRIVER = """
import ctypes
import json

driver = ctypes.CDLL("libcuda.so.1")
number, size, name = ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(100)


def asked(function, *arguments):
    getattr(driver, function)(ctypes.byref(number), *arguments)
    return number.value


print(json.dumps({
    "initialized": driver.cuInit(0),
    "version": asked("cuDriverGetVersion"),
    "devices": asked("cuDeviceGetCount"),
    "capability": [asked("cuDeviceGetAttribute", attribute, 0) for attribute in (75, 76)],
    "name": driver.cuDeviceGetName(name, 100, 0) or name.value.decode(),
    "memory": driver.cuDeviceTotalMem_v2(ctypes.byref(size), 0) or size.value,
}))
"""
RUNTIME = """
import ctypes
from tests.fake_cuda.device import Device

runtime, device = ctypes.CDLL("libcudart.so.13"), Device()
HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2


def allocate(size):
    pointer = ctypes.c_void_p()
    return runtime.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size)), pointer


def free_bytes():
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    runtime.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
    return free.value


text = ctypes.create_string_buffer(8)
"""


def ask_driver(**settings: str) -> dict[str, object]:
    asked = in_fake_cuda("-c", DRIVER, **settings)
    assert asked.status == 0, asked.errors
    return json.loads(asked.printed)


def printed(program: str, **settings: str) -> str:
    """By a program that goes on where RUNTIME ends."""
    ran = in_fake_cuda("-c", RUNTIME + program, **settings)
    assert ran.status == 0, ran.errors
    return ran.printed


def test_the_driver_tells_of_an_h100() -> None:
    assert ask_driver() == {
        "initialized": 0,
        "version": 13000,
        "devices": 1,
        "capability": [9, 0],
        "name": "Fake H100",
        "memory": 80 * 2**30,
    }


def test_the_driver_tells_what_the_environment_says() -> None:
    told = ask_driver(
        FAKE_CUDA_DRIVER="12040",
        FAKE_CUDA_DEVICES="2",
        FAKE_CUDA_CAPABILITY="8.9",
        FAKE_CUDA_MEMORY="1000",
    )
    assert told == {
        "initialized": 0,
        "version": 12040,
        "devices": 2,
        "capability": [8, 9],
        "name": "Fake H100",
        "memory": 1000,
    }


def test_the_driver_finds_no_device() -> None:
    told = ask_driver(FAKE_CUDA_DEVICES="0")
    assert (100, 0) == (told["initialized"], told["devices"])


def test_memory_is_live_until_it_is_freed_and_the_peak_stays() -> None:
    program = """
_, first = allocate(1000)
_, second = allocate(500)
runtime.cudaFree(first)
device.tell()
device.tell()
"""
    before, after = in_fake_cuda("-c", RUNTIME + program).reports
    assert (500, 1500) == (before.live_bytes, before.peak_bytes)
    assert (500, 500) == (after.live_bytes, after.peak_bytes)


def test_memory_ends() -> None:
    program = "print(allocate(600)[0], allocate(600)[0], allocate(400)[0], free_bytes())"
    assert printed(program, FAKE_CUDA_MEMORY="1000") == "0 2 0 0"


def test_copies_are_copies() -> None:
    program = """
_, pointer = allocate(8)
there = runtime.cudaMemcpy(pointer, b"abcdefgh", ctypes.c_size_t(8), HOST_TO_DEVICE)
back = runtime.cudaMemcpy(text, pointer, ctypes.c_size_t(8), DEVICE_TO_HOST)
print(there, back, text.raw.decode())
"""
    assert printed(program) == "0 0 abcdefgh"


@pytest.mark.parametrize(
    "program",
    [
        "_, at = allocate(7)",
        "_, at = allocate(8); runtime.cudaFree(at)",
        "at = ctypes.create_string_buffer(8)",
    ],
    ids=["too small", "freed", "of the host"],
)
def test_a_copy_to_where_the_device_has_no_memory_is_refused(program: str) -> None:
    copy = "print(runtime.cudaMemcpy(at, text, ctypes.c_size_t(8), HOST_TO_DEVICE))"
    assert printed(f"{program}\n{copy}") == "1"


def test_an_error_is_remembered_once() -> None:
    program = """
runtime.cudaSetDevice(7)
print(runtime.cudaPeekAtLastError(), runtime.cudaGetLastError(), runtime.cudaGetLastError())
"""
    assert printed(program) == "101 101 0"


@pytest.mark.parametrize(
    ("grid", "block", "shared", "expected"),
    [
        ((2**31 - 1, 65535, 65535), (1024, 1, 1), 227 * 1024, "0"),
        ((1, 65536, 1), (1, 1, 1), 0, "9"),
        ((0, 1, 1), (1, 1, 1), 0, "9"),
        ((1, 1, 1), (1024, 2, 1), 0, "9"),
        ((1, 1, 1), (1, 1, 1), 228 * 1024, "9"),
    ],
    ids=["the largest", "grid", "no blocks", "threads", "shared memory"],
)
def test_a_launch_is_refused_beyond_the_limits_of_the_device(
    grid: tuple[int, ...], block: tuple[int, ...], shared: int, expected: str
) -> None:
    program = f"""
class Dim3(ctypes.Structure):
    _fields_ = [(axis, ctypes.c_uint) for axis in "xyz"]


library, kernel, image = ctypes.c_void_p(), ctypes.c_void_p(), bytes(64)
runtime.cudaLibraryLoadData(ctypes.byref(library), image, *[None] * 6)
runtime.cudaLibraryGetKernel(ctypes.byref(kernel), library, b"kernel")
shared = ctypes.c_size_t({shared})
print(runtime.cudaLaunchKernel(kernel, Dim3(*{grid}), Dim3(*{block}), None, shared, None))
"""
    assert printed(program) == expected
