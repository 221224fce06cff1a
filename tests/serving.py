"""`python -m gateway.local` as a child process, on a port of its own."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
