"""The encoder alone: tokens a second by shape, form, lengths, micro-batch and workers; one text.

The encoder is the product's `CudaEncoder`; the numbers of operations are those of the products.
"""

import threading
import time
from collections.abc import Sequence
from functools import partial
from itertools import product

import numpy as np

from export.steps.inference import CudaEncoder
from load_tests.gpu.rows import Figures
from load_tests.gpu.run import Run
from load_tests.gpu.shapes import FORMS, MIXES, MicroBatch, Shape, ids_of, micro_batches

PART, ONE_TEXT = "engine", "one text"
TOKENS = (16_384, 8192, 4096)  # of a micro-batch
WORKERS = (2, 1)
LENGTHS = (4, 16, 64, 512)  # of one text
DRAWN = 4  # different micro-batches


def measure(run: Run) -> None:
    for shape, form in product(run.shapes, FORMS):
        about = {"shape": shape.name, "form": form}
        cases = [
            {**about, "tokens": tokens, "mix": mix.name, "workers": workers}
            for tokens, mix, workers in product(TOKENS, MIXES, WORKERS)
        ]
        if not run.rows.missing(PART, cases):
            continue
        with run.each(PART, about):
            encoder = CudaEncoder(run.graph(shape, form))
            for tokens, mix in product(TOKENS, MIXES):
                batches = micro_batches(shape, mix, tokens, DRAWN)
                for workers in WORKERS:
                    case = {**about, "tokens": tokens, "mix": mix.name, "workers": workers}
                    measured = partial(rate, run, encoder, batches, shape, workers)
                    run.rows.measure(PART, case, measured)


def rate(
    run: Run, encoder: CudaEncoder, batches: Sequence[MicroBatch], shape: Shape, workers: int
) -> Figures:
    """Of so many workers, each of which has the next micro-batch ready."""
    for batch in batches:
        encoder.embed_beside(*batch)
    done: list[int] = []  # tokens of each micro-batch
    start = time.perf_counter()
    end = start + run.effort.seconds

    def work() -> None:
        while True:
            input_ids, seq_lens = batches[len(done) % len(batches)]
            encoder.embed_beside(input_ids, seq_lens)
            done.append(len(input_ids))
            if time.perf_counter() >= end:
                return

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    if not done:
        raise RuntimeError("no micro-batch came back")
    tokens_per_s = sum(done) / seconds
    return {
        "tokens_per_s": tokens_per_s,
        "ms": 1000 * seconds / len(done),
        "tflops": 1e-12 * tokens_per_s * shape.flop,
        "mean_tokens": sum(done) / len(done),
    }


def measure_one_text(run: Run) -> None:
    for shape, form in product(run.shapes, FORMS):
        about = {"shape": shape.name, "form": form}
        cases = [{**about, "tokens": tokens} for tokens in LENGTHS]
        if not run.rows.missing(ONE_TEXT, cases):
            continue
        with run.each(ONE_TEXT, about):
            encoder = CudaEncoder(run.graph(shape, form))
            for tokens, case in zip(LENGTHS, cases, strict=True):
                run.rows.measure(ONE_TEXT, case, partial(latency, run, encoder, shape, tokens))


def latency(run: Run, encoder: CudaEncoder, shape: Shape, tokens: int) -> Figures:
    seq_lens = np.array([tokens], dtype=np.int32)
    input_ids = ids_of(shape, seq_lens, np.random.default_rng(0))
    milliseconds = []
    for _ in range(run.effort.calls // 10 + run.effort.calls):
        start = time.perf_counter()
        encoder.embed(input_ids, seq_lens)
        milliseconds.append(1000 * (time.perf_counter() - start))
    p50, p99 = np.percentile(milliseconds[run.effort.calls // 10 :], [50, 99]).tolist()
    return {"p50_ms": p50, "p99_ms": p99}
