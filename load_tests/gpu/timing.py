"""Passes over the same texts, in the order in which they arrive, by us and by each peer.

A rate counts the tokens of the texts; padding is the business of whoever adds it.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

from load_tests.gpu.rows import Figures
from load_tests.gpu.run import Run
from load_tests.gpu.shapes import MIXED, MIXES, Ids, Shape, arrivals

PART = "peers"
PEER_MIXES = (MIXES[0], MIXED)

Pass = Callable[[Sequence[Ids]], None]


def each(run: Run, shape: Shape, peer: str, start: Callable[[], Pass]) -> None:
    """The rows of one peer, which is started if any is missing."""
    about = {"shape": shape.name, "peer": peer}
    cases = [{**about, "mix": mix.name} for mix in PEER_MIXES]
    if not run.rows.missing(PART, cases):
        return
    with run.each(PART, about):
        run_pass = start()
        vocabulary = shape.tiny if run.fake else shape  # of whatever is run there
        for mix, case in zip(PEER_MIXES, cases, strict=True):
            texts = arrivals(vocabulary, mix, run.effort.peer_texts)
            run.rows.measure(PART, case, partial(rate, run_pass, texts, run.effort.seconds))


def rate(run_pass: Pass, texts: Sequence[Ids], seconds: float) -> Figures:
    """Of the fastest pass, after one that does not count."""
    run_pass(texts)
    best, passes, start = float("inf"), 0, time.perf_counter()
    while not passes or time.perf_counter() - start < seconds:
        began = time.perf_counter()
        run_pass(texts)
        best = min(best, time.perf_counter() - began)
        passes += 1
    return {"tokens_per_s": sum(map(len, texts)) / best, "texts": len(texts), "passes": passes}
