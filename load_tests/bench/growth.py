"""How this service grows with its load: callers, tokens of a text, and time.

`python -m load_tests.bench.growth` draws throughput and latency over 1 … 64 callers and over
8 … 512 tokens of a text; `--soak 600` draws memory over ten minutes instead.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

from load_tests import plots
from load_tests.bench.client import drive
from load_tests.bench.processes import memory_mib
from load_tests.bench.servers import CannotStart, Server, ours, started
from load_tests.bench.tokens import TokenCounter
from load_tests.bench.workloads import BULK, Callers, Figures, Workload, summarize
from load_tests.payloads import CORPUS, QUESTIONS, equal
from load_tests.record import commit, machine

CALLERS = (1, 2, 4, 8, 16, 32, 64)
TOKENS = (8, 16, 32, 64, 128, 256, 512)
SPECIAL_TOKENS = 2
CLIFF = 0.8  # of the throughput at half the load; repeats differ by a tenth
SAMPLE_SECONDS = 5.0
WARM_UP_SECONDS = 3.0
SETTLED = 0.25  # of a soak
MOST_GROWTH = 1.05  # of the memory after that, last quarter over the second


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, draw, judge; exit code 1 at a cliff, growing memory or failed calls."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the servers as Ctrl-C does
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        with started(ours(options.repository)) as server:
            _run(server, Workload("warm", (BULK,)), WARM_UP_SECONDS)
            if options.soak:
                complaints = soak(server, options.soak, options.output)
            else:
                complaints = grow(server, options.seconds, options.output)
    except CannotStart as error:
        print(f"growth: {error}", file=sys.stderr)
        return 1
    print(f"Commit {commit()} on {machine()}. Plots: {options.output}", *complaints, sep="\n")
    return int(bool(complaints))


def grow(server: Server, seconds: float, folder: Path) -> list[str]:
    """Two plots; what is wrong with them, as sentences."""
    by_callers = [
        _run(server, Workload("callers", (Callers("callers", count, 1, CORPUS),)), seconds)[0]
        for count in CALLERS
    ]
    by_tokens = [
        _run(
            server,
            Workload("tokens", (Callers("tokens", 4, 8, equal(tokens - SPECIAL_TOKENS)),)),
            seconds,
        )[0]
        for tokens in TOKENS
    ]
    plots.throughput_and_latency(
        folder / "callers.png",
        "one text a call",
        "callers",
        _curves(CALLERS, by_callers, [figures.texts_per_second for figures in by_callers], "texts"),
    )
    plots.throughput_and_latency(
        folder / "tokens.png",
        "4 callers of 8 texts",
        "tokens of a text",
        _curves(TOKENS, by_tokens, [figures.tokens_per_second for figures in by_tokens], "tokens"),
    )
    return [
        *cliffs("callers", CALLERS, [figures.texts_per_second for figures in by_callers]),
        *cliffs("tokens", TOKENS, [figures.tokens_per_second for figures in by_tokens]),
        *(f"{f.failures} calls failed." for f in (*by_callers, *by_tokens) if f.failures),
    ]


def soak(server: Server, seconds: float, folder: Path) -> list[str]:
    """Bulk and paced queries for long; the memory as a plot, and whether it grows."""
    workload = Workload("soak", (BULK, Callers("query", 1, 1, QUESTIONS, calls_per_second=5)))
    with _memory_over_time(server) as (times, mebibytes):
        groups = _run(server, workload, seconds)
    curves = {"seconds": times, "gateway, Triton and its steps": mebibytes}
    plots.over_time(folder / "memory.png", f"memory over {seconds:.0f} s", "MiB", curves)
    first, last = (mean(part) for part in quarters(mebibytes))
    print(f"Memory: {first:.0f} MiB in the second quarter, {last:.0f} MiB in the last.")
    complaints = [f"{group.failures} calls failed." for group in groups if group.failures]
    if last > MOST_GROWTH * first:
        complaints.append(f"Memory grows: {last / first - 1:.0%}.")
    return complaints


def cliffs(name: str, loads: Sequence[float], rates: Sequence[float]) -> list[str]:
    """Loads at which throughput falls well below that of the load before."""
    return [
        f"Cliff at {load:g} {name}: {rate:.0f} a second after {before:.0f}."
        for load, rate, before in zip(loads[1:], rates[1:], rates, strict=False)
        if rate < CLIFF * before
    ]


def quarters(values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """The second and the last quarter of what was sampled."""
    quarter = max(1, round(SETTLED * len(values)))
    return values[quarter : 2 * quarter] or values, values[-quarter:]


def _run(server: Server, workload: Workload, seconds: float) -> list[Figures]:
    """The figures of each group, printed as they come."""
    outcome = asyncio.run(drive(server.target, workload, seconds, f"{workload}"))
    found = []
    for group in workload.groups:
        answered = [c for c in outcome.calls if c.group == group.name and not c.failed]
        counts = [TokenCounter.shared().count(call.texts) for call in answered]
        figures = summarize(group.name, outcome.calls, counts)
        each = figures.tokens / max(figures.texts, 1)
        print(
            f"{group.name:8} {group.callers:3} callers x {group.texts_per_call:2} texts"
            f" of {each:5.1f} tokens: {figures.texts_per_second:7.1f} texts/s,"
            f" {figures.tokens_per_second:7.0f} tokens/s, p50 {figures.p50_milliseconds:.0f} ms,"
            f" p99 {figures.p99_milliseconds:.0f} ms",
            flush=True,
        )
        found.append(figures)
    return found


def _curves(
    loads: Sequence[int], found: Sequence[Figures], per_second: Sequence[float], unit: str
) -> plots.Curves:
    milliseconds = {
        "p50": [figures.p50_milliseconds for figures in found],
        "p99": [figures.p99_milliseconds for figures in found],
    }
    return plots.Curves(loads, per_second, milliseconds, unit)


@contextlib.contextmanager
def _memory_over_time(server: Server) -> Iterator[tuple[list[float], list[float]]]:
    """Seconds and mebibytes, which fill while the block runs."""
    times: list[float] = []
    mebibytes: list[float] = []
    stopping = threading.Event()
    began = time.monotonic()

    def sample() -> None:
        while not stopping.is_set():
            times.append(time.monotonic() - began)
            mebibytes.append(memory_mib(server.process))
            stopping.wait(SAMPLE_SECONDS)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield times, mebibytes
    finally:
        stopping.set()
        thread.join()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m load_tests.bench.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--repository", default="fp32-512", help="under build/bench (default: %(default)s)")
    add("--seconds", type=float, default=6.0, help="of one run (default: %(default)s)")
    add("--soak", type=float, default=0.0, metavar="SECONDS", help="measure memory this long")
    add("--output", type=Path, default=Path("build/growth"), help="(default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
