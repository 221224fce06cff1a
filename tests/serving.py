"""`python -m gateway.local` and `python -m gateway` as child processes, on ports of their own."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from gateway.local.triton_process import LOOPBACK, free_ports

API_KEY = "KEY"
PATIENCE_SECONDS = 60.0  # two shared cores


@dataclass(frozen=True)
class Service:
    """A running service and what it printed."""

    process: subprocess.Popen[bytes]
    output: Path
    url: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {API_KEY}"}


@contextmanager
def serve(
    repository: Path,
    folder: Path,
    wrapper: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Service]:
    """The service on a repository, ready; it ends with the block.

    wrapper  what the command line begins with, a program that becomes the service
    """
    output = folder / "output.txt"
    command = [sys.executable, "-m", "gateway.local", "--repository", str(repository)]
    inherited = {k: v for k, v in environment.items() if not k.startswith("GATEWAY_")}
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [*wrapper, *command, "--port", "0"],
            cwd=folder,
            env=inherited | {"GATEWAY_API_KEYS": API_KEY},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Service(process, output, _url(process, output))
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def _url(process: subprocess.Popen[bytes], output: Path) -> str:
    """The address that it prints when it is ready."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (ready := re.search(r"Ready at (\S+)", output.read_text())):
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.05)
    return ready[1]


@contextmanager
def run_gateway(
    triton_port: int, awaited: str = "/health/ready", **settings: str
) -> Iterator[httpx.Client]:
    """A client of a gateway of its own, once the path `awaited` answers 200."""
    (port,) = free_ports(1)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY_")}
    command = [sys.executable, "-m", "gateway", "--port", str(port)]
    with (
        subprocess.Popen(
            [*command, "--triton-address", f"{LOOPBACK}:{triton_port}"],
            env=inherited | {"GATEWAY_API_KEYS": API_KEY} | settings,
        ) as process,
        httpx.Client(base_url=f"http://{LOOPBACK}:{port}", timeout=PATIENCE_SECONDS) as client,
    ):
        try:
            wait_for(client, awaited)
            yield client
        finally:
            process.terminate()


def wait_for(client: httpx.Client, path: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with suppress(httpx.ConnectError):
            if client.get(path).status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"{path} does not answer")
