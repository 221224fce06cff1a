"""What onnxruntime does where a library, the device, its driver or its kernels are missing.

Left alone it logs, and runs on the CPU.
"""

from pathlib import Path

import pytest

from tests.fake_cuda.build import LIBRARIES
from tests.fake_cuda.graphs import WIDTH
from tests.fake_cuda.run import Finished, in_fake_cuda
from tests.fake_cuda.sessions import Feeds, Plan, run_session

pytestmark = pytest.mark.fake_cuda

# Beside a session, because the report of a device needs a library to be there.
PROGRAM = """
import sys
import onnxruntime

model, fallback = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.disable_cpu_ep_fallback", fallback)
print(onnxruntime.InferenceSession(model, options, ["CUDAExecutionProvider"]).get_providers())
"""
DISABLED = "Conflicting session configuration: explicitly added the CPU EP"
FEEDS: Feeds = {"INPUT": ("float16", (5, WIDTH))}


def open_session(model: Path, *, fallback: bool, without: str = "", **settings: str) -> Finished:
    missing = [without] if without else []
    arguments = (PROGRAM, model, str(int(not fallback)))
    return in_fake_cuda("-c", *arguments, without=missing, **settings)


@pytest.mark.parametrize("library", LIBRARIES)
def test_without_a_library_a_session_is_on_the_cpu(feed_forward: Path, library: str) -> None:
    opened = open_session(feed_forward, fallback=True, without=library)
    assert opened.printed == "['CPUExecutionProvider']"
    assert f"{library}: " in opened.errors


@pytest.mark.parametrize("library", LIBRARIES)
def test_without_a_library_and_the_cpu_there_is_no_session(
    feed_forward: Path, library: str
) -> None:
    opened = open_session(feed_forward, fallback=False, without=library)
    assert opened.status == 1
    assert "fallback to CPU EP has been explicitly disabled" in opened.errors


NO_DEVICE = ({"FAKE_CUDA_DEVICES": "0"}, "no CUDA-capable device is detected")
OLD_DRIVER = ({"FAKE_CUDA_DRIVER": "12040"}, "CUDA driver version is insufficient")


@pytest.mark.parametrize(("settings", "reason"), [NO_DEVICE, OLD_DRIVER], ids=["none", "old"])
def test_without_a_device_a_session_is_on_the_cpu(
    feed_forward: Path, settings: dict[str, str], reason: str
) -> None:
    opened = open_session(feed_forward, fallback=True, **settings)
    assert opened.printed.endswith("['CPUExecutionProvider']")
    assert reason in opened.printed  # not to stderr


@pytest.mark.parametrize(("settings", "reason"), [NO_DEVICE, OLD_DRIVER], ids=["none", "old"])
def test_without_a_device_and_the_cpu_there_is_no_session(
    feed_forward: Path, settings: dict[str, str], reason: str
) -> None:
    """The error speaks of the CPU that onnxruntime.InferenceSession tries next."""
    opened = open_session(feed_forward, fallback=False, **settings)
    assert opened.status == 1
    assert DISABLED in opened.errors
    assert reason in opened.errors


def test_a_second_device_can_be_had_where_there_are_two(feed_forward: Path) -> None:
    second = Plan(feed_forward, [[FEEDS]], provider_options={"device_id": "1"})
    assert run_session(second).providers == ["CPUExecutionProvider"]
    assert run_session(second, FAKE_CUDA_DEVICES="2").rounds[0].report.launched() > 0


@pytest.mark.parametrize("capability", ["7.5", "8.0", "8.6", "8.9", "9.0", "12.0"])
def test_the_wheel_has_machine_code_of_a_chip(feed_forward: Path, capability: str) -> None:
    outcome = run_session(Plan(feed_forward, [[FEEDS]]), FAKE_CUDA_CAPABILITY=capability)
    assert outcome.rounds[0].errors == [""]


@pytest.mark.parametrize("capability", ["7.0", "10.0", "10.3"])
def test_the_wheel_has_none_of_another_chip(feed_forward: Path, capability: str) -> None:
    """The session is made all the same: only a run tells."""
    outcome = run_session(Plan(feed_forward, [[FEEDS]]), FAKE_CUDA_CAPABILITY=capability)
    assert outcome.error == ""
    assert "no kernel image is available" in outcome.rounds[0].errors[0]
