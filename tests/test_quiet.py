"""Nothing is told to anybody by an export, or by the step that runs its graph."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkpoints import make_checkpoint
from tests.strace import STRACE, innocent_environment, needs_strace, strangers

ROOT = Path(__file__).parents[1]
STEPS = ROOT / "export" / "steps"


def left_at_home(home: Path, program: str) -> list[str]:
    """Files that a Python program leaves in an empty home."""
    environment = innocent_environment(home)
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)
    return [path.name for path in home.rglob("*") if path.is_file()]


def test_left_alone_onnxruntime_gives_this_machine_an_id(tmp_path: Path) -> None:
    """What the other tests look for; if it is gone, so may be what keeps it away."""
    assert "deviceid" in left_at_home(tmp_path, "import onnxruntime")


def test_the_encoder_step_gives_this_machine_no_id(tmp_path: Path) -> None:
    program = f"import sys; sys.path.append({str(STEPS)!r}); import inference"
    assert left_at_home(tmp_path, program) == []


@pytest.mark.slow
def test_an_export_gives_this_machine_no_id(tmp_path: Path) -> None:
    assert left_at_home(tmp_path, "import export, onnxruntime") == []


@needs_strace
def test_a_name_that_is_looked_up_is_noticed(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    program = "import socket; socket.socket(type=socket.SOCK_DGRAM).connect(('192.0.2.1', 53))"
    subprocess.run([*STRACE, trace, sys.executable, "-c", program], check=True)
    assert len(list(strangers(trace))) == 1


@needs_strace
@pytest.mark.slow
def test_an_export_reaches_out_to_nobody(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint", "bert")
    trace = tmp_path / "trace"
    command = [
        sys.executable,
        "-m",
        "export",
        str(checkpoint),
        "--output",
        str(tmp_path / "models"),
    ]
    subprocess.run(
        [*STRACE, trace, *command], cwd=ROOT, env=innocent_environment(tmp_path), check=True
    )
    assert list((tmp_path / "models").glob("*/config.pbtxt"))
    assert list(strangers(trace)) == []
