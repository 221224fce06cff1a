"""python -m load_tests.overload: ten times what the service can do, and what becomes of it.

Measures what it answers when callers wait for their answers, then sends ten times as many calls a
second whether they are answered or not, then looks how soon all is as before. One key, so what is
refused is refused for want of capacity. The client shares the machine with the service.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp
import numpy as np
import orjson
import psutil

from load_tests.bench.client import Target
from load_tests.bench.servers import CannotStart, ours, started
from load_tests.payloads import CORPUS, take, texts
from load_tests.record import commit, machine

CALLERS = 4
CALM_SECONDS = 15.0
RECOVERY_SECONDS = 5.0  # after which the service must be as fast as before
CLIENT_SECONDS = 120.0
MEBIBYTE = 2**20


@dataclass
class Phase:
    """What became of the calls that were begun in it."""

    statuses: Counter[int] = field(default_factory=Counter)
    answered: list[float] = field(default_factory=list)  # seconds of each
    refused: list[float] = field(default_factory=list)
    retry_after: Counter[str] = field(default_factory=Counter)
    answered_at: list[float] = field(default_factory=list)

    def answers(self, begin: float, end: float) -> int:
        """Answers that came in that time."""
        return sum(begin <= at < end for at in self.answered_at)

    def row(self, name: str, seconds: float) -> str:
        told = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        return (
            f"| {name} | {told} | {self.statuses[200] / seconds:.1f}"
            f" | {_at(self.answered, 50):.0f}, {_at(self.answered, 99):.0f}"
            f" | {_at(self.refused, 50):.1f}, {_at(self.refused, 99):.1f} |"
        )


def _at(seconds: Sequence[float], percent: float) -> float:
    return 1000 * float(np.percentile(seconds, percent)) if seconds else float("nan")


class Client:
    def __init__(self, target: Target, session: aiohttp.ClientSession, call_texts: int) -> None:
        self._target, self._session, self._call_texts = target, session, call_texts
        self._stream = texts(CORPUS, "overload")

    async def call(self, phase: Phase) -> None:
        fields = {"input": take(self._call_texts, self._stream), "encoding_format": "base64"}
        body = orjson.dumps({"model": self._target.model, **fields})
        began = time.perf_counter()
        try:
            async with self._session.post(
                self._target.url, data=body, headers=self._target.headers
            ) as response:
                await response.read()
                status = response.status
                phase.retry_after[response.headers.get("Retry-After", "")] += status == 429
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        phase.statuses[status] += 1
        seconds = time.perf_counter() - began
        if status == 200:
            phase.answered_at.append(time.perf_counter())
        (phase.answered if status == 200 else phase.refused).append(seconds)

    async def calm(self, seconds: float) -> Phase:
        """Callers that wait for their answers."""
        phase, end = Phase(), time.perf_counter() + seconds

        async def caller() -> None:
            while time.perf_counter() < end:
                await self.call(phase)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return phase

    async def flood(self, rate: float, seconds: float, process: psutil.Process) -> "Flood":
        """So many calls a second, answered or not; those open at the end are heard."""
        flood, calls = Flood(), set()
        began, number = time.perf_counter(), 0
        while (now := time.perf_counter() - began) < seconds:
            if number / rate > now:
                await asyncio.sleep(number / rate - now)
            calls.add(task := asyncio.create_task(self.call(flood.phase)))
            task.add_done_callback(calls.discard)
            number += 1
            if now >= len(flood.mebibytes):  # once a second
                flood.mebibytes.append(process.memory_info().rss / MEBIBYTE)
        flood.stopped_at = time.perf_counter()
        flood.open = list(calls)
        return flood


@dataclass
class Flood:
    phase: Phase = field(default_factory=Phase)
    mebibytes: list[float] = field(default_factory=list)
    open: list[asyncio.Task[None]] = field(default_factory=list)
    stopped_at: float = 0.0


async def measure(
    target: Target, process: psutil.Process, times: float, seconds: float, call_texts: int
) -> bool:
    """Prints a row a phase; whether full speed came back and memory stayed."""
    timeout = aiohttp.ClientTimeout(total=CLIENT_SECONDS)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        client = Client(target, session, call_texts)
        await client.calm(CALM_SECONDS / 3)
        before = await client.calm(CALM_SECONDS)
        rate = before.statuses[200] / CALM_SECONDS
        print(
            f"Calls of {call_texts} texts, {rate:.1f} a second in calm.\n\n"
            "| phase | calls | answered a second | p50, p99 of answers, ms"
            " | p50, p99 of refusals, ms |\n| --- | --- | ---: | ---: | ---: |"
        )
        print(before.row("calm", CALM_SECONDS), flush=True)
        flood = await client.flood(times * rate, seconds, process)
        await asyncio.sleep(RECOVERY_SECONDS)
        left = sum(not task.done() for task in flood.open)
        began = time.perf_counter()
        after = await client.calm(CALM_SECONDS)
        window = began, began + CALM_SECONDS
        speed = (after.answers(*window) + flood.phase.answers(*window)) / CALM_SECONDS
        await asyncio.gather(*flood.open)
        calm_again = await client.calm(CALM_SECONDS)
        print(flood.phase.row(f"{times:g} times that, {seconds:g} s", seconds))
        print(after.row(f"from {RECOVERY_SECONDS:g} s after", CALM_SECONDS))
        print(calm_again.row("when all of it is answered", CALM_SECONDS))
    third = len(flood.mebibytes) // 3
    early, late = (max(part, default=0.0) for part in
                   (flood.mebibytes[third : 2 * third], flood.mebibytes[2 * third :]))  # fmt: skip
    print(
        f"\nGateway, MiB: {early:.0f} at most in the second third, {late:.0f} in the last."
        f" {left} calls of the flood were open {RECOVERY_SECONDS:g} s after it, and {speed:.1f}"
        " calls a second were answered from then on, theirs among them."
        f" Retry-After: {dict(flood.phase.retry_after)}"
    )
    return speed >= 0.9 * rate and late <= 1.1 * early


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 if the service does not come back, or its memory grows."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.overload", description=__doc__)
    parser.add_argument("--precision", default="fp32", help="of the model of `make bench`")
    parser.add_argument("--times", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--texts", type=int, default=16, help="of a call")
    options = parser.parse_args(arguments)
    try:
        with started(ours(options.precision)) as server:
            print(f"Commit {commit()} on {machine()}.")
            work = measure(
                server.target, server.process, options.times, options.seconds, options.texts
            )
            return int(not asyncio.run(work))
    except CannotStart as error:
        print(f"overload: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
