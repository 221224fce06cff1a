"""The gateway alone, its Triton replaced by constants, in turns with a bare route of Starlette.

The bare route gets the same requests and answers as many bytes: what it costs is the HTTP server,
the rest is ours. CPU is that of the server's process, and hardly changes on a busy machine; calls a
second are those of one process with nothing else to do, if client and server have a core each.
With `--before COMMIT` the gateway of that commit takes its turns as well.
"""

import argparse
import asyncio
import os
import re
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from urllib.parse import urljoin, urlsplit

import orjson
import uvloop

from load_tests.bench import processes
from load_tests.bench.client import CALL_SECONDS, Target
from load_tests.bench.servers import BUILD, KEY, CannotStart, Recipe, Server, free_port, started
from load_tests.commits import CannotUnpack, unpack
from load_tests.payloads import CORPUS, QUESTIONS, Lengths, take, texts

CONNECTIONS = 16
_LENGTH = re.compile(rb"\ncontent-length: (\d+)\r\n(?:.+\r\n)*\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of call: texts x dimensions, and the format of the answer."""

    texts: int
    dimensions: int
    encoding_format: str
    lengths: Lengths = CORPUS

    @property
    def body(self) -> bytes:
        batch = take(self.texts, texts(self.lengths, "gateway"))
        return orjson.dumps(
            {
                "model": f"constant-{self.dimensions}",
                "input": batch if self.texts > 1 else batch[0],
                "encoding_format": self.encoding_format,
            }
        )

    def __str__(self) -> str:
        return f"{self.texts} x {self.dimensions} {self.encoding_format}"


CASES = (
    Case(1, 384, "float", QUESTIONS),
    Case(1, 384, "base64", QUESTIONS),
    Case(64, 384, "float"),
    Case(64, 384, "base64"),
    Case(256, 1024, "float"),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one server did with one case."""

    calls_per_second: float
    cpu_milliseconds: float


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of one case, by name of the server."""

    case: Case
    costs: Mapping[str, Cost]


class Caller(asyncio.Protocol):
    """One keep-alive connection that asks again as soon as it is answered, until told to end."""

    def __init__(self, request: bytes) -> None:
        self.calls = 0
        self.answer_bytes = 0
        self.is_ending = False
        self.over = asyncio.get_running_loop().create_future()
        self._request = request
        self._missing = 0  # bytes of the answer that are still to come

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._missing:
            if not data.startswith(b"HTTP/1.1 200"):
                self.is_ending = False  # it is an error, whenever it comes
                self._transport.close()
                return
            self.answer_bytes, head_bytes = measure_head(data)
            self._missing = head_bytes + self.answer_bytes
        self._missing -= len(data)
        if self._missing:
            return
        self.calls += 1
        if self.is_ending:
            self._transport.close()
        else:
            self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.is_ending and not self._missing:
            self.over.set_result(None)
        else:
            self.over.set_exception(CannotStart("a call failed: see the server's log"))


def measure_head(data: bytes) -> tuple[int, int]:
    """Bytes of the body that a response announces, and of its head."""
    match = _LENGTH.search(data)
    assert match, "the head of an answer comes in one piece"
    return int(match[1]), match.end()


def render_request(target: Target, body: bytes) -> bytes:
    """A POST as it goes over the wire."""
    url = urlsplit(target.url)
    headers = {"Host": url.netloc, "Content-Length": len(body), **target.headers}
    lines = [f"POST {url.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def drive(target: Target, body: bytes, seconds: float, connections: int) -> tuple[int, int]:
    """Calls answered in about so many seconds, and the bytes of an answer."""
    host, port = urlsplit(target.url).netloc.split(":")
    request = render_request(target, body)
    loop = asyncio.get_running_loop()
    callers = [
        (await loop.create_connection(lambda: Caller(request), host, int(port)))[1]
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    for caller in callers:
        caller.is_ending = True
    async with asyncio.timeout(CALL_SECONDS):
        await asyncio.gather(*(caller.over for caller in callers))
    return sum(caller.calls for caller in callers), callers[0].answer_bytes


def measure(server: Server, path: str, case: Case, seconds: float) -> tuple[Cost, int]:
    """What a server does with a case, and the bytes of an answer."""
    target = replace(server.target, url=urljoin(server.target.url, path))
    cpu, began = processes.cpu_seconds(server.process), time.perf_counter()
    calls, answer_bytes = uvloop.run(drive(target, case.body, seconds, CONNECTIONS))
    cpu = processes.cpu_seconds(server.process) - cpu
    return Cost(calls / (time.perf_counter() - began), 1e3 * cpu / calls), answer_bytes


def compare(
    gateways: Sequence[Server], bare: Server, case: Case, rounds: int, seconds: float
) -> Row:
    """All in turns."""
    costs: defaultdict[str, list[Cost]] = defaultdict(list)
    for _ in range(rounds):
        for gateway in gateways:
            cost, answer_bytes = measure(gateway, "/v1/embeddings", case, seconds)
            costs[gateway.name].append(cost)
        costs[bare.name].append(measure(bare, f"/{answer_bytes}", case, seconds)[0])
    return Row(case, {name: _median(measured) for name, measured in costs.items()})


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        median(cost.calls_per_second for cost in costs),
        median(cost.cpu_milliseconds for cost in costs),
    )


def table(rows: Sequence[Row]) -> str:
    """What people read; columns are the servers in the order of their turns."""
    names = list(rows[0].costs)
    head = "".join(f" {name}, calls/s | CPU, ms a call |" for name in names)
    rule = "| --- |" + " ---: | ---: |" * len(names)
    return "\n".join([f"| texts x dimensions, format |{head}", rule, *map(_line, rows)])


def _line(row: Row) -> str:
    costs = row.costs.values()
    cells = (f" {cost.calls_per_second:.0f} | {cost.cpu_milliseconds:.3f} |" for cost in costs)
    return f"| {row.case} |{''.join(cells)}"


def recipe(what: str, code: Path = Path()) -> Recipe:
    """How to start one of the two servers of `load_tests.bench.constant`.

    code  of the gateway; what stands in for Triton is always that of the working tree
    """
    port = free_port()
    path = "/v1/embeddings" if what == "gateway" else "/1"
    return Recipe(
        name=what if code == Path() else "before",
        command=(sys.executable, "-m", "load_tests.bench.constant", what, "--port", str(port)),
        target=Target(
            f"http://127.0.0.1:{port}{path}",
            "constant-384",
            {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
        ),
        environ=(
            ("GATEWAY_API_KEYS", KEY),
            ("PYTHONPATH", f"{code.absolute()}{os.pathsep}{Path.cwd()}"),
        ),
        folder=code,
    )


def recipes(commit: str) -> list[Recipe]:
    """Of the gateways, that of the commit first, if there is one.

    Raises: CannotUnpack.
    """
    before = [recipe("gateway", unpack(commit, BUILD / "bench" / "before"))] if commit else []
    return [*before, recipe("gateway")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Start both, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.bench.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--before", default="", help="a commit of this clone")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the servers as Ctrl-C does
    try:
        with ExitStack() as stack:
            gateways = [stack.enter_context(started(one)) for one in recipes(options.before)]
            bare = stack.enter_context(started(recipe("bare")))
            rows = [
                compare(gateways, bare, case, options.rounds, options.seconds) for case in CASES
            ]
            print(table(rows), flush=True)
    except (CannotStart, CannotUnpack) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
