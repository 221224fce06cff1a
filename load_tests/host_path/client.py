"""The callers, in a process of their own: each asks again as soon as it is answered.

Answers are read and not parsed. A job is told by `worker`: where, what calls, how many callers, and
for how long; the calls before it begins make connections, and are not counted.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import uvloop

from load_tests.bench.client import CALL_SECONDS, Target
from load_tests.bench.gateway import measure_head, render_request
from load_tests.host_path.bodies import Calls
from load_tests.host_path.worker import Work, serve

WARM_UP_SECONDS = 0.3


class CallFailed(Exception):
    """An answer that is not a 200."""


class Load:
    """Bodies, and until when they are sent."""

    def __init__(self, target: Target, bodies: Iterator[bytes], seconds: float) -> None:
        self._target = target
        self._bodies = bodies
        self._end = time.perf_counter() + seconds
        self.calls = 0

    def next(self) -> bytes | None:
        """The next request, None when it is over."""
        if time.perf_counter() >= self._end:
            return None
        body = next(self._bodies, None)
        if body is None:
            return None
        self.calls += 1
        return render_request(self._target, body)


class Caller(asyncio.Protocol):
    """One connection that is kept."""

    def __init__(self) -> None:
        self._missing = 0  # bytes of the answer that are still to come
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def start(self, load: Load) -> asyncio.Future[None]:
        """Resolved when the load is over and every answer is there."""
        self._load = load
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._ask()
        return self._over

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            if not data.startswith(b"HTTP/1.1 200"):
                self._over.set_exception(CallFailed(data[:1000].decode(errors="replace")))
                return
            self._missing = sum(measure_head(data))
        self._missing -= len(data)
        if not self._missing:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._over.done():
            self._over.set_exception(CallFailed("the connection was closed"))

    def close(self) -> None:
        self._transport.close()

    def _ask(self) -> None:
        request = self._load.next()
        if request is None:
            self._over.set_result(None)
        else:
            self._transport.write(request)


async def connect(target: Target, callers: int) -> list[Caller]:
    host, port = urlsplit(target.url).netloc.split(":")
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Caller, host, int(port)))[1] for _ in range(callers)]


async def drive(callers: list[Caller], load: Load) -> None:
    """Raises: CallFailed."""
    async with asyncio.timeout(CALL_SECONDS):
        await asyncio.gather(*(caller.start(load) for caller in callers))


def prepare(job: dict[str, Any], loop: asyncio.AbstractEventLoop) -> Work:
    target, calls = Target(**job["target"]), Calls(**job["calls"])
    callers = loop.run_until_complete(connect(target, job["callers"]))
    loop.run_until_complete(drive(callers, Load(target, calls.warm_up.stream(), WARM_UP_SECONDS)))
    bodies = calls.stream()

    def work() -> dict[str, Any]:
        load = Load(target, bodies, job["seconds"])
        cpu, began = time.process_time_ns(), time.perf_counter()
        loop.run_until_complete(drive(callers, load))
        seconds, cpu = time.perf_counter() - began, time.process_time_ns() - cpu
        for caller in callers:
            caller.close()
        return {"calls": load.calls, "seconds": seconds, "client": cpu}

    return work


def main() -> None:
    loop = uvloop.new_event_loop()
    serve(lambda job: prepare(job, loop))


if __name__ == "__main__":
    main()
