"""The encoder alone, in this process, against the machine's own matrix product rate.

Both are measured in turns, as is bulk through the whole service, so that what else the machine
does falls on all of them. GEMM is onnxruntime's own, at [512, H] x [H, 4H] and back.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median

from load_tests.bench import graph
from load_tests.bench.client import drive
from load_tests.bench.packing import micro_batches
from load_tests.bench.servers import BUILD, CannotStart, Server, ours, started
from load_tests.bench.step import EncoderStep, request
from load_tests.bench.tokens import TokenCounter
from load_tests.bench.workloads import WORKLOADS, summarize
from load_tests.payloads import CORPUS, take, texts

TEXTS = 256  # at once, as many as the bulk callers of the benchmark have in flight
REQUEST_TEXTS = 8  # about as many as the gateway puts into one request


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """Medians; tokens and floating point operations a second."""

    server: str
    instances: int
    micro_batch_tokens: int
    graph_nodes: int
    linear_flops_per_token: float
    gemm_flops_together: float
    gemm_flops_side_by_side: float
    mixed_tokens: float
    equal_tokens: float
    served_tokens: float
    shares: tuple[tuple[str, float], ...]

    @property
    def gemm_flops(self) -> float:
        return max(self.gemm_flops_together, self.gemm_flops_side_by_side)

    @property
    def gemm_share(self) -> float:
        return self.mixed_tokens * self.linear_flops_per_token / self.gemm_flops


def measure(server: Server, rounds: int, seconds: float) -> EngineFigures:
    """Everything in turns, `rounds` times; the shares are those of medians."""
    (folder,) = (BUILD / "bench" / server.name.removeprefix("ours ")).glob("*-encoder")
    step = EncoderStep(folder)
    others = [EncoderStep(folder) for _ in range(step.instances - 1)]
    mixed = TokenCounter.shared().ids(take(TEXTS, texts(CORPUS, "engine")))
    hidden = graph.hidden_size(step.onnx)
    cores = len(os.sched_getaffinity(0))
    parts = {
        "together": _side_by_side([graph.open_gemm(hidden, cores)]),
        "side by side": _side_by_side([graph.open_gemm(hidden, 1) for _ in range(cores)]),
        "mixed": _side_by_side([_embedding(each, mixed) for each in (step, *others)]),
        "equal": _side_by_side([_embedding(each, equalized(mixed)) for each in (step, *others)]),
    }
    samples: dict[str, list[float]] = {name: [] for name in (*parts, "served")}
    for number in range(rounds):
        for name, work in parts.items():
            samples[name].append(_rate(work, seconds / 2))
        samples["served"].append(_served(server, number, seconds))
    micro_batch_tokens = step.number("micro_batch_tokens")
    return EngineFigures(
        server=server.name,
        instances=step.instances,
        micro_batch_tokens=micro_batch_tokens,
        graph_nodes=graph.optimized_nodes(step.onnx),
        linear_flops_per_token=graph.linear_flops_per_token(step.onnx),
        gemm_flops_together=median(samples["together"]),
        gemm_flops_side_by_side=median(samples["side by side"]),
        mixed_tokens=median(samples["mixed"]),
        equal_tokens=median(samples["equal"]),
        served_tokens=median(samples["served"]),
        shares=graph.shares_by_operator(step.onnx, micro_batches(mixed, micro_batch_tokens)),
    )


def equalized(mixed: Sequence[list[int]]) -> list[list[int]]:
    """The same tokens, in texts of the mean length."""
    tokens = [token for text in mixed for token in text]
    mean = round(len(tokens) / len(mixed))
    return [tokens[start : start + mean] for start in range(0, len(tokens) - mean + 1, mean)]


def _embedding(step: EncoderStep, ids: Sequence[list[int]]) -> Callable[[], float]:
    """A function that embeds all texts at once; returns their tokens."""
    starts = range(0, len(ids), REQUEST_TEXTS)
    tokens = float(sum(map(len, ids)))

    def embed() -> float:
        step.run([request(list(ids[start : start + REQUEST_TEXTS])) for start in starts])
        return tokens

    return embed


def _side_by_side(works: Sequence[Callable[[], float]]) -> Callable[[], float]:
    """All at once, each on a thread of its own; the sum of what they did."""
    if len(works) == 1:
        return works[0]
    pool = ThreadPoolExecutor(len(works))
    return lambda: sum(pool.map(lambda work: work(), works))


def table(figures: EngineFigures) -> str:
    """What people read."""
    shares = ", ".join(f"{name} {share:.1%}" for name, share in figures.shares)
    together, beside = figures.gemm_flops_together, figures.gemm_flops_side_by_side
    rows = {
        "GEMM of onnxruntime, fp32, one product on all cores": f"{together / 1e9:.0f} GFLOP/s",
        "the same, one product a core": f"{beside / 1e9:.0f} GFLOP/s",
        "linear layers of the encoder": f"{figures.linear_flops_per_token / 1e6:.1f} MFLOP a token",
        "encoder, mixed lengths": f"{figures.mixed_tokens:.0f} tokens/s",
        "encoder against the higher of both": f"{figures.gemm_share:.0%}",
        "encoder, equal lengths": f"{figures.equal_tokens:.0f} tokens/s",
        "mixed against equal": f"{figures.mixed_tokens / figures.equal_tokens:.2f}",
        "bulk through the service": f"{figures.served_tokens:.0f} tokens/s",
        "service against encoder": f"{figures.served_tokens / figures.mixed_tokens:.0%}",
        "nodes of the graph, optimized": str(figures.graph_nodes),
        "time by operator, one thread": shares,
    }
    head = (
        f"| encoder, {figures.server}, {figures.instances} instance(s),"
        f" micro-batches of {figures.micro_batch_tokens} tokens | |"
    )
    return "\n".join([head, "| --- | --- |", *(f"| {k} | {v} |" for k, v in rows.items())])


def _rate(work: Callable[[], float], seconds: float) -> float:
    """Units of work a second; `work` returns how many it did."""
    work()
    began = time.perf_counter()
    done = 0.0
    while (spent := time.perf_counter() - began) < seconds:
        done += work()
    return done / spent


def _served(server: Server, number: int, seconds: float) -> float:
    """Tokens per second of bulk callers through the whole service."""
    workload = WORKLOADS["bulk"]
    outcome = asyncio.run(drive(server.target, workload, seconds, f"engine/{number}"))
    counts = [TokenCounter.shared().count(c.texts) for c in outcome.calls if not c.failed]
    return summarize(workload.groups[0].name, outcome.calls, counts).tokens_per_second


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the service on each exported repository asked for, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.bench.engine", description=__doc__)
    parser.add_argument("--precision", default="fp32", help="several are separated by spaces")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the servers as Ctrl-C does
    try:
        for precision in options.precision.split():
            with contextlib.ExitStack() as stack:
                server = stack.enter_context(started(ours(precision)))
                print(table(measure(server, options.rounds, options.seconds)), flush=True)
    except CannotStart as error:
        print(f"engine: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
