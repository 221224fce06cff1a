"""Clients that mean harm, or do not know better, beside one that asks a right question.

`python -m load_tests.hostile` starts the gateway in front of a Triton of constants and prints what
became of slow senders, of idle connections, of more connections than there are file descriptors,
and of each request in `attempts.py`; and of a question that is asked meanwhile, ten times a second
on a connection of its own each time.
"""

import argparse
import asyncio
import resource
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, suppress
from dataclasses import replace

from load_tests.bench import processes
from load_tests.bench.gateway import recipe
from load_tests.bench.harm import Wire
from load_tests.bench.servers import KEY, CannotStart, Server, started
from load_tests.hostile.attempts import attempts
from load_tests.hostile.questions import ANSWER_SECONDS, Questions, ask, asking
from load_tests.record import commit, machine

MOST_MS = 1000.0  # of a question
# At once: the queue of the listening socket holds 2048.
CONNECTING = 500
# In which all connections that were idle ask: all at once would be another deed.
TAILS_SECONDS = 10.0
FEW_DESCRIPTORS = 256

Deed = Callable[[Wire], Awaitable[Counter[str]]]


async def hold(
    wire: Wire, count: int, seconds: float, head: bytes, drop: bytes, tail: bytes = b""
) -> Counter[str]:
    """So many connections that send a head, a drop every second, and at last a tail."""
    connecting = asyncio.Semaphore(CONNECTING)

    async def one(number: int) -> str:
        try:
            async with connecting:
                reader, writer = await wire.connect()
        except OSError as error:
            return type(error).__name__
        with closing(writer), suppress(OSError, asyncio.IncompleteReadError):
            writer.write(head)
            until = time.perf_counter() + seconds
            while time.perf_counter() < until and not reader.at_eof():
                await asyncio.sleep(1)
                writer.write(drop)
                await writer.drain()
            if reader.at_eof():
                return "closed"
            if not tail:
                return "open to the end"
            await asyncio.sleep(TAILS_SECONDS * number / count)
            writer.write(tail)
            async with asyncio.timeout(ANSWER_SECONDS):
                return "open, then " + (await reader.readexactly(12))[9:].decode()
        return "closed"

    return Counter(await asyncio.gather(*(one(number) for number in range(count))))


def deeds(senders: int, idle: int, seconds: float) -> dict[str, Deed]:
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\n".encode()
    slow_body = head + b"Content-Length: 4096\r\n\r\n"
    get = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    return {
        f"{senders} heads, a byte a second": lambda w: hold(w, senders, seconds, head, b"x"),
        f"{senders} bodies, a byte a second": lambda w: hold(w, senders, seconds, slow_body, b" "),
        f"{idle} idle connections, then a request each": lambda w: hold(
            w, idle, seconds, b"", b"", get
        ),
    }


async def measure(server: Server, name: str, deed: Deed) -> bool:
    """Prints the row of a deed; whether the questions bore it."""
    before = processes.memory_mib(server.process)
    cpu, began = processes.cpu_seconds(server.process), time.perf_counter()
    with asking(server.target) as questions:
        became = await deed(Wire(server.target))
        most = processes.memory_mib(server.process)
    cores = (processes.cpu_seconds(server.process) - cpu) / (time.perf_counter() - began)
    told = ", ".join(f"{count} x {what}" for what, count in became.most_common())
    print(f"| {name} | {told} | {questions} | {before:.0f}, {most:.0f} | {cores:.2f} |", flush=True)
    late = [one for one in questions.milliseconds if one > MOST_MS]
    return not questions.failures and not late


async def attempt_all(server: Server) -> list[str]:
    """Each attempt alone; the names of those that did not end as they must."""
    wire, wrong = Wire(server.target), []
    for attempt in attempts(server.target.model, KEY):
        reader, writer = await wire.connect()
        with closing(writer):
            began, status = time.perf_counter(), 0
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    writer.write(attempt.content)
                    status = int((await reader.readexactly(12))[9:])
        milliseconds = (time.perf_counter() - began) * 1000
        print(f"| {attempt.name} | {status or 'closed'} | {milliseconds:.0f} |", flush=True)
        if status not in attempt.right:
            wrong.append(attempt.name)
    questions = Questions()
    await ask(wire, questions)
    return wrong + [f"a question afterwards: {status}" for status in questions.failures]


async def exhaust(wire: Wire) -> Counter[str]:
    """More idle connections than descriptors; then a right question, when they are gone."""
    became = await hold(wire, 4 * FEW_DESCRIPTORS, 5.0, b"", b"")
    await asyncio.sleep(1)
    questions = Questions()
    await ask(wire, questions)
    became["a question afterwards: " + (next(iter(questions.failures), "200"))] += 1
    return became


HEAD = """
| deed | what became of it | questions meanwhile | gateway, MiB before and at the end | cores |
| --- | --- | --- | ---: | ---: |"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print all; exit code 1 if a question suffered, or an attempt did not end as it must."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.hostile", description=__doc__)
    parser.add_argument("--senders", type=int, default=1000)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each deed")
    options = parser.parse_args(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        with started(recipe("gateway")) as server:
            print(f"Commit {commit()} on {machine()}; {most} descriptors.\n{HEAD}")
            todo = deeds(options.senders, options.idle, options.seconds)
            borne = [asyncio.run(measure(server, name, deed)) for name, deed in todo.items()]
            few = replace(recipe("gateway"), name="gateway-with-few-descriptors")
            limited = ("prlimit", f"--nofile={FEW_DESCRIPTORS}:{FEW_DESCRIPTORS}", *few.command)
            with started(replace(few, command=("/usr/bin/env", *limited))) as cramped:
                name = f"{4 * FEW_DESCRIPTORS} connections, {FEW_DESCRIPTORS} descriptors"
                asyncio.run(measure(cramped, name, exhaust))
            print("\n| attempt | answer | ms |\n| --- | --- | ---: |")
            wrong = asyncio.run(attempt_all(server))
    except CannotStart as error:
        print(f"hostile: {error}", file=sys.stderr)
        return 1
    print("\nNot as it must be:", *(wrong or ["none"]), sep="\n")
    return int(bool(wrong) or not all(borne))


if __name__ == "__main__":
    sys.exit(main())
