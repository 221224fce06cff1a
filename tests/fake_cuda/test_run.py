"""In what surroundings a program runs on the fake CUDA."""

import pytest

from tests.fake_cuda.run import in_fake_cuda

pytestmark = pytest.mark.fake_cuda


def test_modules_of_the_steps_find_onnxruntime_for_gpus() -> None:
    ran = in_fake_cuda("-c", "from inference import cpu; print(cpu.onnxruntime.get_device())")
    assert (ran.printed, ran.errors) == ("GPU", "")


def test_a_program_that_fails_says_so() -> None:
    ran = in_fake_cuda("-c", "raise SystemExit('a reason')")
    assert (ran.status, ran.errors, ran.reports) == (1, "a reason\n", [])


def test_only_the_call_says_what_the_device_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patched: what stands in the environment of the tests."""
    monkeypatch.setenv("FAKE_CUDA_DEVICES", "3")
    count = "import ctypes as c; n = c.c_int(); c.CDLL('libcuda.so.1').cuDeviceGetCount(c.byref(n))"
    assert in_fake_cuda("-c", f"{count}; print(n.value)").printed == "1"
