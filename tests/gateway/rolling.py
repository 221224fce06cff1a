"""python -m tests.gateway.rolling: two gateways are restarted in turns, and no call fails.

Callers go to both, and to the other one where they are refused; whatever else happens to a call is
a failure. One half of them keeps its connections, the other opens one for every call.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx

from gateway.local.triton_process import free_ports
from tests.fakes import MODEL
from tests.gateway.fake_gateway import FakeGateway, run_fake_gateway

CALLERS = 8
REFUSED_SECONDS = 0.01  # before the other one is asked


class Callers:
    """What became of their calls."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self.statuses: Counter[str] = Counter()
        self.over = False

    async def call_on(self, first: int, keeps: bool) -> None:
        limits = httpx.Limits(max_keepalive_connections=None if keeps else 0)
        async with httpx.AsyncClient(timeout=20, limits=limits) as client:
            number = first
            while not self.over:
                number += 1
                self.statuses[await self._call(client, number)] += 1

    async def _call(self, client: httpx.AsyncClient, number: int) -> str:
        while True:
            url = f"http://127.0.0.1:{self._ports[number % 2]}/v1/embeddings"
            try:
                answer = await client.post(url, json={"model": MODEL, "input": "x"})
            except httpx.ConnectError:
                number += 1
                await asyncio.sleep(REFUSED_SECONDS)
            except httpx.HTTPError as error:
                return type(error).__name__
            else:
                return str(answer.status_code)


class Pair:
    """Two gateways on ports that stay theirs."""

    def __init__(self, folder: Path, ports: Sequence[int], drain_seconds: str) -> None:
        self._folder, self._ports, self._drain_seconds = folder, ports, drain_seconds
        self._stacks = [ExitStack(), ExitStack()]
        self._gateways: list[FakeGateway] = [self._start(place) for place in (0, 1)]

    def restart(self, place: int) -> int:
        """The exit code of the one that ends."""
        code = self._gateways[place].stop()
        self._stacks[place].close()
        self._gateways[place] = self._start(place)
        return code

    def close(self) -> None:
        for stack in self._stacks:
            stack.close()

    def _start(self, place: int) -> FakeGateway:
        running = run_fake_gateway(
            self._folder,
            self._ports[place],
            GATEWAY_DRAIN_SECONDS=self._drain_seconds,
            FAKE_PAUSE_SECONDS="0.002",
        )
        return self._stacks[place].enter_context(running)


async def run(folder: Path, restarts: int, drain_seconds: str) -> Callers:
    """Calls all the while, restarts one after the other."""
    ports = free_ports(2)
    pair, callers = Pair(folder, ports, drain_seconds), Callers(ports)
    try:
        await asyncio.sleep(1)  # both know their model
        calling = [asyncio.create_task(callers.call_on(n, n % 2 == 0)) for n in range(CALLERS)]
        for number in range(restarts):
            code = await asyncio.to_thread(pair.restart, number % 2)
            await asyncio.sleep(1)
            print(f"restart {number + 1}: code {code}, {dict(callers.statuses)}", flush=True)
        callers.over = True
        await asyncio.gather(*calling)
    finally:
        pair.close()
    return callers


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gateway.rolling")
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--drain-seconds", default="0")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        callers = asyncio.run(run(Path(folder), options.restarts, options.drain_seconds))
    failed = callers.statuses.total() - callers.statuses["200"]
    print(f"{callers.statuses.total()} calls, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
