"""python -m tests.gateway.fake_gateway: the gateway as it is run, on FakeEmbedder.

Settings come from the environment, and FAKE_PAUSE_SECONDS, that a call takes.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gateway import Settings, create_app
from gateway.listeners import open_listeners
from gateway.server import listen_to_signals, open_operations, serve
from gateway.telemetry.logs import log_to_stderr
from tests.fakes import FakeEmbedder

PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class FakeGateway:
    """One that runs as a process of its own; `log` is what it prints."""

    process: "subprocess.Popen[bytes]"
    log: Path
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        self.process.send_signal(sent)
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def run_fake_gateway(folder: Path, port: int = 0, **environment: str) -> Iterator[FakeGateway]:
    """A gateway that listens; killed at the end if it still runs."""
    log = folder / f"gateway-{time.monotonic_ns()}.log"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GATEWAY_")}
    settings = {"GATEWAY_AUTH": "off", "GATEWAY_PORT": str(port)}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.gateway.fake_gateway"],
            env=inherited | settings | environment,
            stderr=stream,
            cwd=Path(__file__).parents[2],
        )
    try:
        yield FakeGateway(process, log, _url(process, log))
    finally:
        process.kill()
        process.wait()


def _url(process: "subprocess.Popen[bytes]", log: Path) -> str:
    latest = time.monotonic() + PATIENCE_SECONDS
    while not (found := re.search(r"listening on (\S+) port (\d+)", log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < latest, log.read_text()
        time.sleep(0.01)
    return f"http://{found[1]}:{found[2]}"


def main() -> None:
    settings = Settings.from_environ()
    embedder = FakeEmbedder(pause_seconds=float(os.environ.get("FAKE_PAUSE_SECONDS", "0")))
    app = create_app(settings, embedder)
    listeners = open_listeners(settings.host, settings.port)
    operations = open_operations(settings)
    log_to_stderr(settings)
    with suppress(KeyboardInterrupt):
        listen_to_signals()
        serve(app, settings, listeners, operations)


if __name__ == "__main__":
    main()
