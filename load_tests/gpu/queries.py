"""Queries under bulk, through the batcher and the encoder of the product, by micro-batch budget."""

import threading
import time
from contextlib import closing
from functools import partial
from itertools import cycle

import numpy as np

from export.serving import micro_batch_tokens
from export.steps.batching import Batcher
from export.steps.inference import CudaEncoder
from export.steps.memory import Memory
from load_tests.gpu.rows import Figures
from load_tests.gpu.run import Run
from load_tests.gpu.shapes import MIXED, PACKED, Ids, Lengths, MicroBatch, Shape, ids_of

PART = "queries"
BUDGETS = {"4k": 4096, "8k": 8192, "16k": 16_384}
FORMULA = "formula"  # what an export of this shape would choose
CALLERS = 16  # of bulk, each of which asks again when answered
BULK_TEXTS = 64
DRAWN = 32  # different requests
QUERY_TOKENS = 16
QUERIES_PER_S = 50.0


def measure(run: Run) -> None:
    for shape in run.shapes:
        budgets = {FORMULA: micro_batch_tokens(shape.product_weights), **BUDGETS}
        cases = [{"shape": shape.name, "budget": name} for name in budgets]
        if not run.rows.missing(PART, cases):
            continue
        with run.each(PART, {"shape": shape.name}):
            encoder = CudaEncoder(run.graph(shape, PACKED))
            for case, tokens in zip(cases, budgets.values(), strict=True):
                measured = partial(ask, encoder, shape, tokens, run.effort.query_seconds)
                run.rows.measure(PART, case, measured)


class Caller:
    """Bulk, over and over: one object a request, as in the encoder step."""

    def __init__(self, bulk: "Bulk") -> None:
        self._bulk = bulk
        self._request = next(bulk.requests)
        bulk.batcher.submit_for(self, *self._request)

    def set_result(self, _: object, /) -> None:
        bulk = self._bulk
        bulk.answered.append(len(self._request[0]))
        if not bulk.is_over:
            Caller(bulk)
        elif bulk.leave():
            bulk.has_ended.set()

    def set_exception(self, error: Exception, /) -> None:
        self._bulk.errors.append(error)
        self._bulk.has_ended.set()


class Bulk:
    """Callers that keep a batcher busy."""

    def __init__(self, batcher: Batcher, shape: Shape) -> None:
        rng = np.random.default_rng(0)
        self.batcher = batcher
        self.requests = cycle([_bulk_request(shape, rng) for _ in range(DRAWN)])
        self.answered: list[int] = []  # tokens of each request
        self.errors: list[Exception] = []
        self.is_over = False
        self.has_ended = threading.Event()
        self._left = CALLERS
        self._lock = threading.Lock()
        for _ in range(CALLERS):
            Caller(self)

    def leave(self) -> bool:
        """Whether it was the last."""
        with self._lock:
            self._left -= 1
            return not self._left

    def end(self) -> None:
        """Raises: what a request failed with."""
        self.is_over = True
        self.has_ended.wait()
        if self.errors:
            raise self.errors[0]


def ask(encoder: CudaEncoder, shape: Shape, budget: int, seconds: float) -> Figures:
    """Latency of paced queries, counted from when each is due."""
    memory = Memory(encoder.text_bytes, encoder.threads, encoder.working_mib(budget))
    seq_lens = np.array([QUERY_TOKENS], dtype=np.int32)
    input_ids = ids_of(shape, seq_lens, np.random.default_rng(1))
    with closing(Batcher(encoder, budget, memory)) as batcher:
        batcher.submit(input_ids, seq_lens).result()
        alone = _paced(batcher, input_ids, seq_lens, seconds / 10)
        bulk = Bulk(batcher, shape)
        time.sleep(seconds / 10)
        before, start = sum(bulk.answered), time.perf_counter()
        under = _paced(batcher, input_ids, seq_lens, seconds)
        tokens, took = sum(bulk.answered) - before, time.perf_counter() - start
        bulk.end()
    p50, p99, worst = np.percentile(under, [50, 99, 100]).tolist()
    return {
        "tokens": budget,
        "p50_ms": p50,
        "p99_ms": p99,
        "max_ms": worst,
        "alone_p50_ms": float(np.median(alone)),
        "queries": len(under),
        "bulk_tokens_per_s": tokens / took,
    }


class Noted:
    """An answer that knows when it came."""

    def __init__(self) -> None:
        self.at = float("nan")
        self._has_come = threading.Event()

    def set_result(self, _: object, /) -> None:
        self.at = time.perf_counter()
        self._has_come.set()

    def set_exception(self, _: Exception, /) -> None:
        self._has_come.set()

    def wait(self) -> float:
        """When; not a number if it failed."""
        self._has_come.wait()
        return self.at


def _paced(batcher: Batcher, input_ids: Ids, seq_lens: Lengths, seconds: float) -> list[float]:
    """Milliseconds of each query."""
    count = max(int(seconds * QUERIES_PER_S), 3)
    start = time.perf_counter()
    due = [start + number / QUERIES_PER_S for number in range(count)]
    answers = []
    for at in due:
        time.sleep(max(at - time.perf_counter(), 0.0))
        answers.append(Noted())
        batcher.submit_for(answers[-1], input_ids, seq_lens)
    return [1000 * (answer.wait() - at) for answer, at in zip(answers, due, strict=True)]


def _bulk_request(shape: Shape, rng: np.random.Generator) -> MicroBatch:
    seq_lens = MIXED.draw(BULK_TEXTS, rng)
    return ids_of(shape, seq_lens, rng), seq_lens
