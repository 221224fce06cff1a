"""What one caller can do to another: a steady question beside everything that a key can send.

`python -m load_tests.bench.harm` asks a question 20 times a second before, during and after each of
the deeds below, all with one API key, and prints what became of the question, the memory of gateway
and tokenizer, and what the gauges say when all is over.
"""

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import numpy as np
import orjson

from load_tests.bench.client import Target
from load_tests.bench.processes import tree
from load_tests.bench.servers import CannotStart, Server, ours, started
from load_tests.payloads import QUESTIONS, take, texts
from load_tests.record import commit, machine

MIB = 2**20
BODY_BYTES = 4 * MIB  # GATEWAY_MAX_BODY_BYTES
QUESTIONS_PER_SECOND = 20
AFTER_SECONDS = 5.0
LEAST_SECONDS = 3.0  # that a deed counts as going on: some are refused within milliseconds
GAUGES = ("gateway_held_bytes", "gateway_held_tokens", "gateway_waiting_tokens",
          "gateway_triton_tokens", "gateway_in_flight_requests")  # fmt: skip
READING = "gateway_in_flight_requests 1.0"
MOST_TIMES, MOST_MS = 3.0, 250.0


@dataclass(frozen=True, slots=True)
class Wire:
    """Where raw bytes go, and the head that a body needs."""

    target: Target

    def head(self, length: int) -> bytes:
        key = self.target.headers["Authorization"]
        return (
            f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n"
            f"Content-Length: {length}\r\n\r\n"
        ).encode()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        url = urlsplit(self.target.url)
        return await asyncio.open_connection(url.hostname, url.port, limit=64 * 1024)

    async def post(self, body: bytes, patience_seconds: float = 60.0) -> str:
        """The status, or what came instead."""
        reader, writer = await self.connect()
        with closing(writer):
            try:
                async with asyncio.timeout(patience_seconds):
                    writer.write(self.head(len(body)) + body)
                    return (await reader.readexactly(12))[9:].decode()
            except TimeoutError:
                return "hung up"
            except (OSError, asyncio.IncompleteReadError):
                return "closed"


Deed = Callable[[Wire], Awaitable[list[str]]]


def call(target: Target, batch: object, **fields: object) -> bytes:
    return orjson.dumps({"model": target.model, "input": batch} | fields)


def one_body(make: Callable[[Target], bytes], times: int = 1, patience: float = 60.0) -> Deed:
    """Bodies that are sent at once."""

    async def send(wire: Wire) -> list[str]:
        body = make(wire.target)
        return await asyncio.gather(*(wire.post(body, patience) for _ in range(times)))

    return send


def filled(unit: bytes, *, quoted: bool = False, **fields: object) -> Callable[[Target], bytes]:
    """A body at the limit whose input is a unit again and again: an array, or one text."""

    def make(target: Target) -> bytes:
        before, after = call(target, "?", **fields).split(b'"?"')
        opening, closing_ = (b'["', b'"]') if quoted else (b"[", b'""]')
        room = BODY_BYTES - len(before + opening + closing_ + after)
        return before + opening + unit * (room // len(unit)) + closing_ + after

    return make


def texts_of(unit: str, count: int) -> Callable[[Target], bytes]:
    """A body at the limit with so many equal texts."""

    def make(target: Target) -> bytes:
        size = (BODY_BYTES - 500) // count - 3
        return call(target, [unit * (size // len(unit))] * count)

    return make


async def slow_uploads(wire: Wire) -> list[str]:
    """40 bodies at the limit of which half comes and the rest does not."""

    async def upload() -> str:
        reader, writer = await wire.connect()
        with closing(writer):
            try:
                writer.write(wire.head(BODY_BYTES) + b" " * (BODY_BYTES // 2))
                async with asyncio.timeout(5):
                    return (await reader.readexactly(12))[9:].decode()
            except TimeoutError:
                return "stalled"
            except (OSError, asyncio.IncompleteReadError):
                return "closed"

    return await asyncio.gather(*(upload() for _ in range(40)))


async def hang_ups(wire: Wire) -> list[str]:
    """300 calls of 8 texts, each hung up after 30 ms."""
    stream = texts(QUESTIONS, "hang-ups")
    bodies = [call(wire.target, take(8, stream)) for _ in range(300)]
    return await asyncio.gather(*(wire.post(body, 0.03) for body in bodies))


async def unread_answers(wire: Wire) -> list[str]:
    """40 calls of 256 short texts in all formats, of which nobody reads the answer."""
    formats = ["float", "float16", "int8", "uint8"]
    body = call(wire.target, ["a"] * 256, encoding_format=formats)

    async def ask() -> str:
        reader, writer = await wire.connect()
        with closing(writer):
            writer.write(wire.head(len(body)) + body)
            status = (await reader.readexactly(12))[9:].decode()
            await asyncio.sleep(5)
            return status

    return await asyncio.gather(*(ask() for _ in range(40)), return_exceptions=False)


DEEDS: dict[str, Deed] = {
    "one text of words": one_body(filled(b"bread and water ", quoted=True)),
    "one text of dots": one_body(filled(b".", quoted=True)),
    "one endless word": one_body(filled(b"a", quoted=True)),
    "one text of dots, uncut": one_body(filled(b".", quoted=True, truncation_strategy="none")),
    "4 texts of dots": one_body(texts_of(".", 4)),
    "256 texts of `x `": one_body(texts_of("x ", 256)),
    "3 texts of words, hung up": one_body(filled(b"bread ", quoted=True), 3, 0.5),
    "brackets": one_body(filled(b"[],")),
    "braces": one_body(filled(b"{},")),
    "empty texts": one_body(filled(b'"",')),
    "halves of pairs": one_body(filled(rb"\ud83d\ude00\ud83d ", quoted=True)),
    "10 bodies of escapes": one_body(filled(rb"\u4e00", quoted=True), 10),
    "40 slow uploads": slow_uploads,
    "300 hang-ups": hang_ups,
    "40 unread answers": unread_answers,
}


@dataclass(slots=True)
class Asked:
    """What became of the questions of one phase."""

    milliseconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def at(self, percent: float) -> float:
        return float(np.percentile(self.milliseconds, percent)) if self.milliseconds else 0.0


class Asker:
    """A question whenever one is due, counted for the phase in which it was due."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._stream = texts(QUESTIONS, "asker")
        self.phase = Asked()
        self.over = False

    async def run(self) -> None:
        async with aiohttp.ClientSession(headers=self._target.headers) as session:
            began, pending, number = time.perf_counter(), set(), 0
            while not self.over:
                due = began + number / QUESTIONS_PER_SECOND
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                pending.add(asyncio.create_task(self._ask(session, due, self.phase)))
                number += 1
            await asyncio.gather(*pending)

    async def _ask(self, session: aiohttp.ClientSession, due: float, phase: Asked) -> None:
        body = call(self._target, take(1, self._stream))
        try:
            async with session.post(self._target.url, data=body) as answer:
                await answer.read()
                if answer.status != 200:
                    phase.failures.append(str(answer.status))
        except aiohttp.ClientError as error:
            phase.failures.append(type(error).__name__)
        phase.milliseconds.append((time.perf_counter() - due) * 1000)


@dataclass(frozen=True, slots=True)
class Row:
    """One deed: what it got, and the question before, during and after it."""

    name: str
    seconds: float
    statuses: str
    phases: tuple[Asked, Asked, Asked]
    gateway_mib: float
    tokenizer_mib: float

    @property
    def is_borne(self) -> bool:
        before, during, after = self.phases
        failed = before.failures + during.failures + after.failures
        slower = during.at(50) > MOST_TIMES * before.at(50) or during.at(99) > MOST_MS
        return not failed and not slower


async def measure(server: Server, names: Sequence[str]) -> list[Row]:
    """All deeds one after the other, the question beside them."""
    wire, rows = Wire(server.target), []
    asker = Asker(server.target)
    asking = asyncio.create_task(asker.run())
    await asyncio.sleep(2)
    for name in names:
        phases = Asked(), Asked(), Asked()
        asker.phase = phases[0]
        await asyncio.sleep(AFTER_SECONDS)
        forget_peaks(server)
        asker.phase, began = phases[1], time.perf_counter()
        statuses = await DEEDS[name](wire)
        seconds = time.perf_counter() - began
        await asyncio.sleep(max(0.0, LEAST_SECONDS - seconds))
        asker.phase = phases[2]
        await asyncio.sleep(AFTER_SECONDS)
        counted = ", ".join(f"{statuses.count(s)} x {s}" for s in sorted(set(statuses)))
        rows.append(Row(name, seconds, counted, phases, *peaks(server)))
        print(render(rows[-1]), flush=True)
    asker.over = True
    await asking
    return rows


def forget_peaks(server: Server) -> None:
    for process in tree(server.process):
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def peaks(server: Server) -> tuple[float, float]:
    """MiB: the most that the gateway and the tokenizer held."""
    found = {"gateway": 0.0, "tokenizer": 0.0}
    for process in tree(server.process):
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        line = " ".join(process.cmdline())
        name = "tokenizer" if "-tokenizer" in line else "gateway" if "gateway.local" in line else ""
        if peak and name:
            found[name] = max(found[name], int(peak[1]) / 1024)
    return found["gateway"], found["tokenizer"]


async def gauges(target: Target) -> list[str]:
    """Lines of gauges that are not 0, the request that reads them left out."""
    url = target.url.replace("/v1/embeddings", "/metrics")
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        lines = (await answer.text()).splitlines()
    ours = [line for line in lines if line.startswith(GAUGES)]
    return [line for line in ours if line != READING and float(line.rsplit(" ", 1)[1]) != 0]


HEAD = (
    "| deed | got | question p50, p99 before, ms | during | after | failed | gateway, tokenizer,"
    " peak MiB |\n| --- | --- | ---: | ---: | ---: | ---: | ---: |"
)


def render(row: Row) -> str:
    times = " | ".join(f"{phase.at(50):.0f}, {phase.at(99):.0f}" for phase in row.phases)
    failed = sum(len(phase.failures) for phase in row.phases)
    return (
        f"| {row.name} | {row.statuses} in {row.seconds:.1f} s | {times} | {failed}"
        f" | {row.gateway_mib:.0f}, {row.tokenizer_mib:.0f} |"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row a deed; exit code 1 if the question suffered or a gauge does not return to 0."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.bench.harm", description=__doc__)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--deeds", nargs="*", choices=DEEDS, default=list(DEEDS), metavar="DEED")
    options = parser.parse_args(arguments)
    try:
        with started(ours(options.precision)) as server:
            print(f"Commit {commit()} on {machine()}.\n\n{HEAD}")
            rows = asyncio.run(measure(server, options.deeds))
            left = asyncio.run(gauges(server.target))
    except CannotStart as error:
        print(f"harm: {error}", file=sys.stderr)
        return 1
    print("\nGauges that are not 0:", *(left or ["none"]), sep="\n")
    harmed = [row.name for row in rows if not row.is_borne]
    if harmed:
        print(f"The question suffered from: {', '.join(harmed)}")
    return int(bool(harmed or left))


if __name__ == "__main__":
    sys.exit(main())
