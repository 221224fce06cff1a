"""python -m gateway.local as a person runs it: start, crash, Ctrl-C."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.local.triton_process import TritonProcess, parent_of, running_children
from gateway.local.triton_wheel import CannotServe
from tests.triton.conftest import RunTriton

pytestmark = pytest.mark.triton

PATIENCE_SECONDS = 60.0  # two shared cores, several test sessions


def wait_until(holds: Callable[[], Any]) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := holds()):
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS:.0f} s"
        time.sleep(0.1)
    return answer


class Served:
    """A running `python -m gateway.local` and what it printed."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self.output = output

    def curl(self) -> dict[str, Any]:
        """The answer to the printed line, pasted."""
        line = wait_until(lambda: re.search(r"try +(curl .*)", self.output.read_text()))[1]
        answer = subprocess.run(shlex.split(line), capture_output=True, check=True)
        return dict(json.loads(answer.stdout))

    def embeds(self) -> bool:
        return "data" in self.curl()

    def triton(self) -> int:
        """Process id of its Triton."""
        return min(wait_until(lambda: running_children(self.process.pid)))


@contextmanager
def serving(repository: Path, folder: Path) -> Iterator[Served]:
    output = folder / "output.txt"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.local", "--repository", repository, "--port", "0"],
            cwd=folder,
            env={k: v for k, v in os.environ.items() if not k.startswith("GATEWAY_")},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Served(process, output)
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@pytest.fixture
def served(toy_repository: Path, tmp_path: Path) -> Iterator[Served]:
    with serving(toy_repository, tmp_path) as served:
        yield served


def test_the_printed_curl_line_embeds(served: Served) -> None:
    answer = served.curl()
    assert answer["data"][0]["embedding"] == [0.5, 0.5, 0.5, 0.5]
    assert "models   toy" in served.output.read_text()


def test_two_of_them_run_side_by_side(served: Served, toy_repository: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with serving(toy_repository, tmp_path / "other") as other:
        assert served.embeds()
        assert other.embeds()


def test_a_killed_triton_is_replaced(served: Served) -> None:
    assert served.embeds()
    os.kill(served.triton(), signal.SIGKILL)
    assert served.curl()["error"]["code"] == "service_unavailable"
    wait_until(served.embeds)


def test_a_killed_step_is_replaced(served: Served) -> None:
    assert served.embeds()
    killed = served.triton()
    os.kill(min(running_children(killed)), signal.SIGKILL)
    wait_until(lambda: running_children(served.process.pid) - {killed})
    wait_until(served.embeds)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_both(served: Served, sent: signal.Signals) -> None:
    assert served.embeds()
    triton = served.triton()
    served.process.send_signal(sent)
    assert served.process.wait(PATIENCE_SECONDS) == 0
    assert not Path(f"/proc/{triton}").exists()
    assert served.output.read_text().endswith("Stopped.\n")
    assert not leftovers(served)


def test_ctrl_c_while_triton_loads_ends_both(served: Served) -> None:
    triton = served.triton()
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(PATIENCE_SECONDS) == 0
    assert not Path(f"/proc/{triton}").exists()


def test_triton_ends_with_a_killed_parent(served: Served) -> None:
    assert served.embeds()
    steps = running_children(served.triton())
    served.process.kill()
    wait_until(lambda: not any(parent_of(step) for step in steps))


def leftovers(served: Served) -> list[Path]:
    """Shared memory of the ended server; its name holds the gateway's port."""
    port = re.search(r"Ready at http://127.0.0.1:(\d+)", served.output.read_text())
    assert port is not None
    return list(Path("/dev/shm").glob(f"triton-embeddings-{port[1]}-*"))  # noqa: S108


def test_a_port_in_use_ends_in_one_sentence(toy_repository: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "gateway.local"),
                *("--repository", toy_repository, "--port", str(port)),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert "--port" in ended.stderr


@pytest.mark.parametrize(
    ("file", "damage", "reason"),
    [
        ("1/model.py", "raise RuntimeError('model.onnx is damaged')", "model.onnx is damaged"),
        ("config.pbtxt", "{", "failed to read text proto"),
    ],
    ids=["a step that refuses", "an unreadable configuration"],
)
def test_a_model_that_does_not_load_says_why(
    toy_repository: Path, tmp_path: Path, file: str, damage: str, reason: str
) -> None:
    broken = tmp_path / "repository"
    shutil.copytree(toy_repository, broken)
    with (broken / "toy" / file).open("a") as target:
        target.write(damage)
    with (
        TritonProcess(broken, tmp_path / "triton.log", tmp_path.name) as triton,
        pytest.raises(CannotServe, match=f"Triton cannot load toy: .*{reason}"),
    ):
        triton.start()


def test_one_triton_serves_all_tests_of_a_session(
    run_triton: RunTriton, toy_repository: Path
) -> None:
    assert run_triton(toy_repository).pid == run_triton(toy_repository).pid
    assert run_triton(toy_repository).is_whole()
