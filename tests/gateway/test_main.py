"""python -m gateway: what it says when it cannot start, and that it serves."""

import gc
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
import pytest

from gateway.__main__ import main
from gateway.server import COLLECT_OBJECTS, spare_the_collector


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


# As a shell without job control starts what stands before a `&`.
IN_THE_BACKGROUND = ["/bin/sh", "-c", "trap '' INT QUIT; exec \"$@\"", "sh"]


@contextmanager
def run_gateway(wrapper: Sequence[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A gateway without Triton on a free port, and its address, as it logs it."""
    command = [sys.executable, "-m", "gateway", "--port", "0", "--triton-address", "[::1]:1"]
    environment = os.environ | {"GATEWAY_AUTH": "off"}
    with subprocess.Popen(
        [*wrapper, *command], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"^20\S+ \S+ INFO .* listening on (\S+) port (\d+)$", line):
                    yield process, f"http://{found[1]}:{found[2]}"
                    break
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("wrapper", "sent"),
    [
        ([], signal.SIGINT),
        ([], signal.SIGTERM),
        ([], signal.SIGHUP),
        (IN_THE_BACKGROUND, signal.SIGINT),
    ],
    ids=["ctrl-c", "term", "hup", "ctrl-c-in-the-background"],
)
def test_it_serves_before_triton_is_up_and_ends_in_peace(
    wrapper: list[str], sent: signal.Signals
) -> None:
    with run_gateway(wrapper) as (process, url):
        assert httpx.get(f"{url}/health/ready").status_code == 503
        process.send_signal(sent)
        assert process.wait(timeout=10) == 0


def test_the_collector_of_cycles_passes_over_what_was_imported() -> None:
    before = gc.get_threshold()
    try:
        spare_the_collector()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold()[0] == COLLECT_OBJECTS
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
