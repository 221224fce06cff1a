"""The scripts that images begin with and are asked by, run as they are."""

import http.server
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.dockerfile import FOLDER

FAKE = '#!/bin/sh\necho "$$"; printf "%s\\n" "$@"\n'  # what it became, and what it was given


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """A /dev/shm with what a killed Triton left, and what others have there."""
    folder = tmp_path / "shm"
    folder.mkdir()
    for name in ("triton-embeddings-1", "triton-embeddings-2 b", "of-others"):
        (folder / name).touch()
    return folder


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which `tritonserver` says what it was given."""
    server = tmp_path / "bin" / "tritonserver"
    server.parent.mkdir()
    server.write_text(FAKE)
    server.chmod(server.stat().st_mode | stat.S_IXUSR)
    return f"{server.parent}{os.pathsep}{os.environ['PATH']}"


def serve_triton(path: str, memory: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["/bin/sh", FOLDER / "serve_triton.sh", *arguments],
        env={"PATH": path, "SHARED_MEMORY": str(memory)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_entry_becomes_triton_with_its_arguments(path: str, memory: Path) -> None:
    given = ("--model-repository=/a b", "", "--exit-timeout-secs=55")
    with serve_triton(path, memory, *given) as process:
        said = process.communicate()[0].splitlines()
    assert [str(process.pid), *given] == said


def test_what_a_killed_triton_left_is_removed(path: str, memory: Path) -> None:
    with serve_triton(path, memory) as process:
        process.communicate()
    assert ["of-others"] == [left.name for left in memory.iterdir()]


def test_nothing_to_remove_is_no_fault(path: str, tmp_path: Path) -> None:
    with serve_triton(path, tmp_path) as process:
        process.communicate()
    assert 0 == process.returncode


@pytest.fixture
def port() -> Iterator[int]:
    """A gateway that is live, whatever is asked."""

    class Live(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health/live" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Live) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


def healthcheck(**environment: str) -> int:
    return subprocess.run(
        [sys.executable, FOLDER / "healthcheck.py"], env=environment, stderr=subprocess.DEVNULL
    ).returncode


def test_the_gateway_is_asked_at_the_port_for_operations(port: int) -> None:
    environment = {"GATEWAY_OPERATIONS_PORT": str(port), "GATEWAY_PORT": "1"}
    assert 0 == healthcheck(**environment)


def test_without_one_it_is_asked_at_that_for_calls(port: int) -> None:
    assert 0 == healthcheck(GATEWAY_OPERATIONS_PORT="0", GATEWAY_PORT=str(port))


def test_nobody_there_is_unhealthy() -> None:
    assert 0 != healthcheck(GATEWAY_OPERATIONS_PORT="1")
