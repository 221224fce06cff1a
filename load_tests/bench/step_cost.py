"""What the encoder step itself costs: batcher and layout, in front of a session that does nothing.

On a GPU this is what must hide behind a micro-batch of a few milliseconds. Callers ask again as
soon as they are answered, so the same number of requests waits all the time.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count, cycle, product
from threading import Event

import numpy as np
from numpy.typing import NDArray

from export.steps.batching import Batcher
from export.steps.inference import Layout
from export.steps.memory import Memory
from load_tests.record import commit, machine

DIMENSIONS = 768
WARM_UP = 20  # micro-batches that do not count
DRAWN = 32  # different requests of a shape
MEMORY_MIB = 2**20  # of which nothing is used: nobody waits for it


@dataclass(frozen=True, slots=True)
class Shape:
    """What one request holds; the lengths of several texts lie evenly around `tokens`."""

    texts: int
    tokens: int

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """(T,) ids and (N,) lengths of one request."""
        spread = self.tokens // 2 if self.texts > 1 else 0
        low, high = self.tokens - spread, self.tokens + spread
        seq_lens = rng.integers(low, high + 1, size=self.texts).astype(np.int32)
        return rng.integers(0, 30_000, size=seq_lens.sum()), seq_lens


# What a graph for CUDA is fed with, of a BERT with mean pooling.
FED = ("input_ids", "positions", "token_of_cell", "token_offset", "starts", "mean")
SHAPES = (Shape(64, 65), Shape(256, 65), Shape(1, 50))
WAITING = (1, 64, 2000)
WORKERS = (1, 2)


class NullEncoder:
    """Answers at once, with numbers of no meaning; notes the CPU time of the run that counts."""

    shares_device = True

    def __init__(self, workers: int, micro_batches: int) -> None:
        self.threads = workers
        self.sizes: list[int] = []  # tokens of each micro-batch
        self.texts: list[int] = []
        self.may_begin, self.has_ended = Event(), Event()
        self.cpu_seconds = 0.0
        self._numbers = count(1)  # one each, whichever worker asks
        self._last = WARM_UP + micro_batches

    def embed(
        self, input_ids: NDArray[np.int64], seq_lens: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        return self.embed_beside(input_ids, seq_lens)

    def embed_beside(
        self, input_ids: NDArray[np.int64], seq_lens: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        self.may_begin.wait()
        layout = Layout(input_ids, seq_lens)
        for name in FED:
            getattr(layout, name)
        self.sizes.append(len(input_ids))
        self.texts.append(len(seq_lens))
        number = next(self._numbers)
        if number == WARM_UP:
            self.cpu_seconds -= time.process_time()
        elif number == self._last:
            self.cpu_seconds += time.process_time()
            self.has_ended.set()
        return np.empty((len(seq_lens), DIMENSIONS), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Cost:
    """tokens, texts: of a micro-batch, on average."""

    tokens: float
    texts: float
    milliseconds: float


def measure(waiting: int, shape: Shape, workers: int, max_tokens: int, micro_batches: int) -> Cost:
    """CPU time of a micro-batch while so many requests wait or run."""
    rng = np.random.default_rng(0)
    calls = cycle([shape.draw(rng) for _ in range(DRAWN)])
    encoder = NullEncoder(workers, micro_batches)
    memory = Memory(lambda tokens: tokens, workers, MEMORY_MIB)

    class Caller:
        """Asks again when answered, as the step's answers are made: one object each."""

        __slots__ = ()

        def __init__(self) -> None:
            batcher.submit_for(self, *next(calls))

        def set_result(self, embeddings: NDArray[np.float32], /) -> None:
            if not encoder.has_ended.is_set():
                Caller()

        def set_exception(self, error: Exception, /) -> None:
            raise error

    with closing(Batcher(encoder, max_tokens, memory)) as batcher:
        for _ in range(waiting):
            Caller()
        encoder.may_begin.set()
        encoder.has_ended.wait()
    counted = slice(WARM_UP, WARM_UP + micro_batches)
    return Cost(
        float(np.mean(encoder.sizes[counted])),
        float(np.mean(encoder.texts[counted])),
        1000 * encoder.cpu_seconds / micro_batches,
    )


HEADER = (
    "| request | waiting | workers | tokens a micro-batch | CPU ms a micro-batch"
    " | CPU µs a request |"
)


def row(waiting: int, shape: Shape, workers: int, cost: Cost) -> str:
    microseconds = 1000 * cost.milliseconds * shape.texts / cost.texts
    texts = f"{shape.texts} of {shape.tokens} tokens"
    return (
        f"| {texts} | {waiting} | {workers} | {cost.tokens:.0f} | {cost.milliseconds:.2f}"
        f" | {microseconds:.1f} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m load_tests.bench.step_cost", description=__doc__
    )
    parser.add_argument("--micro-batch-tokens", type=int, default=16_384)
    parser.add_argument("--micro-batches", type=int, default=300, help="of each measurement")
    options = parser.parse_args(arguments)
    print(f"{machine()}, commit {commit()}\n\n{HEADER}\n| --- |" + " ---: |" * 5)
    for shape, waiting, workers in product(SHAPES, WAITING, WORKERS):
        cost = measure(waiting, shape, workers, options.micro_batch_tokens, options.micro_batches)
        print(row(waiting, shape, workers, cost), flush=True)


if __name__ == "__main__":
    main()
