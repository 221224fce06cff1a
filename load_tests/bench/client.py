"""The client of every server alike: asyncio and aiohttp, bodies read but not parsed.

It shares the machine with the server, so it reports its own CPU seconds.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import aiohttp
import orjson

from load_tests.bench.workloads import Call, Callers, Workload
from load_tests.payloads import take, texts

CALL_SECONDS = 120.0  # a call that takes longer has failed


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server takes embedding calls."""

    url: str
    model: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """All calls of one run, failed ones too.

    client_cpu_seconds  what this process took meanwhile
    """

    calls: tuple[Call, ...]
    seconds: float
    client_cpu_seconds: float


async def drive(target: Target, workload: Workload, seconds: float, seed: str) -> Outcome:
    """Run a workload; calls begun before `seconds` are waited for and count."""
    timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        run = _Run(session, target, seed, time.perf_counter(), seconds)
        cpu = time.process_time()
        first, *others = workload.groups
        companions = [asyncio.create_task(run.group(group, endless=True)) for group in others]
        await run.group(first, endless=False)
        run.over = True
        await asyncio.gather(*companions)
        return Outcome(tuple(run.calls), run.clock(), time.process_time() - cpu)


async def ask(target: Target, batch: list[str], encoding_format: str = "float") -> bytes:
    """One call on its own; the body of the answer.

    Raises: aiohttp.ClientError for anything but a 200.
    """
    async with aiohttp.ClientSession() as session:
        run = _Run(session, target, "", time.perf_counter(), 0)
        return await run.post(batch, encoding_format)


@dataclass(slots=True)
class _Run:
    session: aiohttp.ClientSession
    target: Target
    seed: str
    began: float
    seconds: float
    over: bool = False
    calls: list[Call] = field(default_factory=list)

    def clock(self) -> float:
        return time.perf_counter() - self.began

    async def group(self, group: Callers, endless: bool) -> None:
        """All callers of a group, until the time is over or, endless ones, the first group is."""
        stream = texts(group.lengths, f"{self.seed}/{group.name}")
        if group.calls_per_second:
            await self._paced(group, stream)
        else:
            callers = (self._closed_loop(group, stream, endless) for _ in range(group.callers))
            await asyncio.gather(*callers)

    async def _closed_loop(self, group: Callers, stream: Iterator[str], endless: bool) -> None:
        while not (self.over if endless else self.clock() >= self.seconds):
            await self._call(group, stream, self.clock())

    async def _paced(self, group: Callers, stream: Iterator[str]) -> None:
        """A call whenever one is due, whatever became of those before."""
        pending = set()
        number = 0
        while not self.over:
            due = number / group.calls_per_second
            await asyncio.sleep(max(0.0, due - self.clock()))
            pending.add(asyncio.create_task(self._call(group, stream, due)))
            number += 1
        await asyncio.gather(*pending)

    async def _call(self, group: Callers, stream: Iterator[str], due: float) -> None:
        batch = take(group.texts_per_call, stream)
        failed = False
        try:
            await self.post(batch, group.encoding_format)
        except (aiohttp.ClientError, TimeoutError):
            failed = True
        self.calls.append(Call(group.name, due, self.clock(), batch, failed))

    async def post(self, batch: list[str], encoding_format: str) -> bytes:
        body = orjson.dumps(
            {"model": self.target.model, "input": batch, "encoding_format": encoding_format}
        )
        headers = {"Content-Type": "application/json", **self.target.headers}
        async with self.session.post(self.target.url, data=body, headers=headers) as answer:
            answer.raise_for_status()
            return await answer.read()
