"""A gateway as a process: the real one, on a clock and a name of the simulation's.

    python -m tests.scaling.gateway SPEED NAME FILE

Every duration of the gateway's own is as many times shorter as its clock is faster. NAME stands for
the hosts in FILE, as that of a headless Service stands for ready pods; all else is the system's.
"""

import asyncio
import json
import selectors
import socket
import sys
import time
from pathlib import Path
from typing import Any


class _Selector(selectors.DefaultSelector):
    """Waits in real time for what is due in fast time."""

    speed = 1.0

    def select(self, timeout: float | None = None) -> Any:
        return super().select(None if timeout is None else timeout / self.speed)


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that finds one name in a file."""

    name = ""
    file = Path()

    def __init__(self) -> None:
        super().__init__(_Selector())

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        if host != self.name:
            return await super().getaddrinfo(host, port, **options)
        if not (hosts := json.loads(self.file.read_text())):
            raise socket.gaierror(socket.EAI_NONAME, "no pod is ready")
        kind = socket.AF_INET, socket.SOCK_STREAM, 0, ""
        return [(*kind, (found, port)) for found in hosts]


def choose_loop(use_subprocess: bool) -> type[asyncio.AbstractEventLoop]:
    """For uvicorn, instead of uvloop, whose clock is the system's."""
    return _Loop


def main() -> None:
    """Serves until interrupted, with settings from the environment."""
    _Selector.speed = speed = float(sys.argv[1])
    _Loop.name, _Loop.file = sys.argv[2], Path(sys.argv[3])
    if speed != 1:  # before anything of the gateway's is imported, which takes these as defaults
        monotonic, perf_counter = time.monotonic, time.perf_counter
        time.monotonic = lambda: monotonic() * speed
        time.perf_counter = lambda: perf_counter() * speed

    import uvicorn.config

    from gateway.__main__ import main as serve

    uvicorn.config.LOOP_FACTORIES["auto"] = f"{__spec__.name}:choose_loop"
    sys.modules[__spec__.name] = sys.modules["__main__"]  # not imported once more
    serve([])


if __name__ == "__main__":
    main()
