"""What is missing for a GPU, in one sentence each, on a machine that has none.

Driver and devices are asked for in tests/fake_cuda/test_encoder.py.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from export.steps.inference import CannotUseGpu
from export.steps.inference.device import (
    CUDA_LIBRARIES,
    Device,
    check_provider,
    driver_version,
    load_library,
)

STEPS = Path(__file__).parents[4] / "export" / "steps"
NAME = "libof.pip.so.13"


def test_the_onnxruntime_of_cpus_is_told_apart() -> None:
    check_provider("CPUExecutionProvider")
    told = "has no CUDAExecutionProvider: .* pip uninstall onnxruntime and pip install"
    with pytest.raises(CannotUseGpu, match=told):
        check_provider("CUDAExecutionProvider")


def test_a_missing_library_is_named_with_the_way_to_it() -> None:
    with pytest.raises(CannotUseGpu) as caught:
        load_library("libnobody.so.13", "ask somebody")
    assert str(caught.value).startswith("libnobody.so.13 cannot be loaded (libnobody.so.13: ")
    assert str(caught.value).endswith("): ask somebody")


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize("place", ["nvidia/cu13/lib", "nvidia/cudnn/lib", "tensorrt_libs"])
def test_a_library_is_found_where_pip_puts_it(tmp_path: Path, place: str, is_whole: bool) -> None:
    """In a process of its own, which is left with it; a library of this process stands for it."""
    folder = tmp_path / place
    folder.mkdir(parents=True)
    maps = Path("/proc/self/maps").read_text().split()
    shutil.copy(next(word for word in maps if "/libm." in word or "/libm-" in word), folder / NAME)
    if not is_whole:
        (folder / NAME).write_bytes(b"")
    program = f"from inference.device import load_library as load; load({NAME!r}, 'get it')"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{STEPS}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert is_whole == (run.returncode == 0)
    if not is_whole:
        last = run.stderr.splitlines()[-1]
        assert last.endswith(f"CannotUseGpu: {NAME} cannot be loaded ({folder / NAME}: file too "
                             "short): get it")  # fmt: skip


def test_every_library_has_a_package() -> None:
    assert {package.split("-")[0] for package in CUDA_LIBRARIES.values()} == {"nvidia"}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 2025\n"
            "GCC version:  gcc version 13.3.0 (Ubuntu 13.3.0-6ubuntu2~24.04)\n",
            "580.65.06",
        ),
        ("", ""),
        (None, ""),
    ],
)
def test_the_kernel_tells_the_version_of_the_driver(
    tmp_path: Path, told: str | None, expected: str
) -> None:
    if told is not None:
        (tmp_path / "version").write_text(told)
    assert expected == driver_version(tmp_path / "version")


def test_a_device_is_one_line() -> None:
    device = Device("NVIDIA H100", "9.0", 80 * 2**30, cuda="13.0", driver="580.65.06")
    assert "NVIDIA H100, 80 GiB, compute capability 9.0, driver 580.65.06 for CUDA 13.0" == str(
        device
    )
