"""Right questions, by a process of their own, while others do what they do."""

import asyncio
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import numpy as np

from load_tests.bench.client import Target
from load_tests.bench.harm import Wire, call

QUESTIONS_PER_SECOND = 10
ANSWER_SECONDS = 15.0


@dataclass
class Questions:
    """What became of those that were asked during a deed."""

    milliseconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        if not self.milliseconds:
            return "0"
        p50, p99 = np.percentile(self.milliseconds, [50, 99])
        failures = f", {dict(self.failures)}" if self.failures else ""
        return f"{len(self.milliseconds)}, p50 {p50:.0f} ms, p99 {p99:.0f} ms{failures}"


async def ask(wire: Wire, questions: Questions) -> None:
    """One question on a connection of its own."""
    body, began = call(wire.target, "What is bread?"), time.perf_counter()
    status = await wire.post(body, ANSWER_SECONDS)
    questions.milliseconds.append((time.perf_counter() - began) * 1000)
    if status != "200":
        questions.failures[status] += 1


async def ask_on(wire: Wire, end: Connection) -> Questions:
    """Until something comes through the pipe."""
    questions, asked = Questions(), set()
    while not end.poll():
        asked.add(asyncio.create_task(ask(wire, questions)))
        await asyncio.sleep(1 / QUESTIONS_PER_SECOND)
    await asyncio.gather(*asked)
    return questions


def asker(target: Target, end: Connection) -> None:
    """What the process does."""
    end.send(asyncio.run(ask_on(Wire(target), end)))


@contextmanager
def asking(target: Target) -> Iterator[Questions]:
    """What is filled at the end of the block with the questions that were asked meanwhile."""
    context, questions = multiprocessing.get_context("spawn"), Questions()
    ours, theirs = context.Pipe()
    process = context.Process(target=asker, args=(target, theirs))
    process.start()
    try:
        yield questions
    finally:
        ours.send("end")
        asked: Questions = ours.recv()
        questions.milliseconds, questions.failures = asked.milliseconds, asked.failures
        process.join()
