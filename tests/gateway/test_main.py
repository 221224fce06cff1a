"""python -m gateway: what it says when it cannot start, and that it serves."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from gateway.__main__ import main


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_without_a_key_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEWAY_API_KEYS", raising=False)
    with pytest.raises(SystemExit, match="no API key is configured"):
        main([])


def test_a_port_in_use_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_AUTH", "off")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f"cannot listen on 127.0.0.1:{port}: Address already"):
            main(["--port", str(port)])


@contextmanager
def run_gateway(port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "gateway", "--port", str(port), "--triton-address", "[::1]:1"]
    with subprocess.Popen(command, env=os.environ | {"GATEWAY_AUTH": "off"}) as process:
        yield process
        process.kill()


def test_it_serves_before_triton_is_up_and_ends_at_ctrl_c() -> None:
    port = free_port()
    with run_gateway(port) as process:
        for _ in range(500):
            try:
                response = httpx.get(f"http://127.0.0.1:{port}/health/ready")
                break
            except httpx.ConnectError:
                time.sleep(0.02)
        assert response.status_code == 503
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=5) == 0
