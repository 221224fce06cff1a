"""python -m gateway.local as a person runs it: start, crash, Ctrl-C."""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
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
        self.shell = {"PATH": os.environ["PATH"]}  # of who pastes the line

    def curl(self) -> dict[str, Any]:
        """The answer to the printed line, pasted."""
        line = wait_until(lambda: re.search(r"try +(curl .*)", self.output.read_text()))[1]
        answer = subprocess.run(
            ["/bin/sh", "-c", line], cwd="/", env=self.shell, capture_output=True, check=True
        )
        return dict(json.loads(answer.stdout))

    def embeds(self) -> bool:
        return "data" in self.curl()

    def triton(self) -> int:
        """Process id of its Triton."""
        return min(wait_until(lambda: running_children(self.process.pid)))


@contextmanager
def serving(
    repository: Path, folder: Path, wrapper: Sequence[str] = (), **environment: str
) -> Iterator[Served]:
    output = folder / "output.txt"
    command = [
        sys.executable,
        "-m",
        "gateway.local",
        "--repository",
        str(repository),
        "--port",
        "0",
    ]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY_")}
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [*wrapper, *command],
            cwd=folder,
            env=inherited | environment,
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


def environment_of(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text().replace("\0", "\n")


def told_to_triton(served: Served) -> Iterator[tuple[str, str]]:
    """Command line and environment of Triton and of each of its steps."""
    triton = served.triton()
    for pid in (triton, *running_children(triton)):
        yield Path(f"/proc/{pid}/cmdline").read_text(), environment_of(pid)


def test_a_key_is_told_to_nobody(toy_repository: Path, tmp_path: Path) -> None:
    secrets = {"API_KEY": "te-secret", "GATEWAY_API_KEYS": "te-secret", "HF_TOKEN": "te-secret"}
    with serving(toy_repository, tmp_path, **secrets) as served:
        assert served.embeds()
        told = list(told_to_triton(served))
        assert len(told) == 2
        assert "te-secret" not in str(told)
        log = next((tmp_path / "build").glob("triton-*.log"))
        assert "te-secret" not in log.read_text()
    assert "te-secret" not in served.output.read_text()


def test_a_made_key_is_told_to_nobody(served: Served) -> None:
    assert served.embeds()
    (key,) = (served.output.parent / "build" / "api_key").read_text().split()
    assert key not in served.output.read_text()
    assert key not in str(list(told_to_triton(served)))


def test_the_steps_are_told_to_be_quiet(served: Served) -> None:
    assert served.embeds()
    for _, environment in told_to_triton(served):
        assert "ORT_DISABLE_TELEMETRY=1" in environment.splitlines()


def test_a_digest_alone_makes_no_key(toy_repository: Path, tmp_path: Path) -> None:
    digest = f"sha256:{hashlib.sha256(b'te-mine').hexdigest()}"
    with serving(toy_repository, tmp_path, GATEWAY_API_KEYS=digest) as served:
        assert served.curl()["error"]["code"] == "invalid_api_key"
        served.shell["API_KEY"] = "te-mine"
        assert served.embeds()
    assert "API key  yours; GATEWAY_API_KEYS holds its digest" in served.output.read_text()
    assert not (tmp_path / "build" / "api_key").exists()


def test_without_keys_everybody_is_let_in(toy_repository: Path, tmp_path: Path) -> None:
    with serving(toy_repository, tmp_path, GATEWAY_AUTH="off") as served:
        assert served.embeds()
    assert not (tmp_path / "build" / "api_key").exists()


def test_every_line_of_the_log_has_a_time(served: Served) -> None:
    assert served.embeds()
    lines = [line for line in served.output.read_text().splitlines() if "gateway." in line]
    assert lines
    assert not [line for line in lines if not re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,", line)]


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


def test_a_triton_that_hangs_is_replaced(toy_repository: Path, tmp_path: Path) -> None:
    with serving(toy_repository, tmp_path, GATEWAY_TIMEOUT_SECONDS="2") as served:
        assert served.embeds()
        first = served.triton()
        os.kill(first, signal.SIGSTOP)
        wait_until(lambda: first not in running_children(served.process.pid))
        wait_until(lambda: "data" in served.curl())
        assert served.output.read_text().count("Triton does not answer: starting it again") == 1


def test_a_killed_step_is_replaced(served: Served) -> None:
    assert served.embeds()
    killed = served.triton()
    os.kill(min(running_children(killed)), signal.SIGKILL)
    wait_until(lambda: running_children(served.process.pid) - {killed})
    wait_until(served.embeds)


def test_a_triton_is_replaced_whose_folders_were_tidied_away(served: Served) -> None:
    assert served.embeds()
    shutil.rmtree(served.output.parent / "build")  # the log, and the key that is printed no more
    environment_and_arguments = next(told_to_triton(served))[0]
    found = re.search(r"--backend-directory=([^\0]+)", environment_and_arguments)
    assert found is not None
    shutil.rmtree(found[1])
    killed = served.triton()
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: running_children(served.process.pid) - {killed})
    wait_until(lambda: is_ready(served))
    assert list((served.output.parent / "build").glob("triton-*.log"))


def test_a_triton_that_cannot_be_started_is_tried_again(served: Served) -> None:
    assert served.embeds()
    build = served.output.parent / "build"
    shutil.move(build, build.with_name("moved"))
    build.write_text("in the way")
    os.kill(served.triton(), signal.SIGKILL)
    wait_until(lambda: "Next attempt in 2 s" in served.output.read_text())
    assert served.process.poll() is None
    assert "File exists" in served.output.read_text()
    build.unlink()
    shutil.move(build.with_name("moved"), build)
    wait_until(lambda: is_ready(served))


def is_ready(served: Served) -> bool:
    ready = re.search(r"Ready at (\S+)", served.output.read_text())
    assert ready is not None
    return httpx.get(f"{ready[1]}/health/ready").is_success


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_both(served: Served, sent: signal.Signals) -> None:
    assert served.embeds()
    triton = served.triton()
    served.process.send_signal(sent)
    assert served.process.wait(PATIENCE_SECONDS) == 0
    assert not Path(f"/proc/{triton}").exists()
    assert served.output.read_text().endswith("Stopped.\n")
    assert not leftovers(served)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_triton_loads_ends_both(served: Served, sent: signal.Signals) -> None:
    triton = served.triton()
    served.process.send_signal(sent)
    assert served.process.wait(PATIENCE_SECONDS) == 0
    assert not Path(f"/proc/{triton}").exists()


# As a shell without job control starts what stands before a `&`.
IN_THE_BACKGROUND = ["/bin/sh", "-c", "trap '' INT QUIT; exec \"$@\"", "sh"]


@pytest.mark.parametrize("loads", [True, False], ids=["while-it-loads", "while-it-serves"])
def test_an_ignored_interrupt_ends_both(toy_repository: Path, tmp_path: Path, loads: bool) -> None:
    with serving(toy_repository, tmp_path, IN_THE_BACKGROUND) as served:
        triton = served.triton()
        assert loads or served.embeds()
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(PATIENCE_SECONDS) == 0
        assert not Path(f"/proc/{triton}").exists()


def test_nohup_stays_what_it_is(toy_repository: Path, tmp_path: Path) -> None:
    with serving(toy_repository, tmp_path, ["nohup"]) as served:
        served.triton()
        served.process.send_signal(signal.SIGHUP)
        assert served.embeds()


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


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU")
def test_a_model_for_a_gpu_that_nobody_sees_is_said(
    toy_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    repository = tmp_path / "models"
    shutil.copytree(toy_repository, repository)
    config = repository / "toy" / "config.pbtxt"
    config.write_text(config.read_text().replace("KIND_CPU", "KIND_GPU"))
    told = r"no GPUs are available: nvidia-smi -L says .*, CUDA_VISIBLE_DEVICES \(3\) which"
    with (
        TritonProcess(repository, tmp_path / "triton.log", "no-gpu") as triton,
        pytest.raises(CannotServe, match=told),
    ):
        triton.start()
