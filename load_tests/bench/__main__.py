"""`make bench`: this service against its peers on this machine, in one run, alternating.

All servers are up, one at a time is under load; each round begins with another server. What the
client and the rest of the machine take meanwhile is measured and printed as well.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from load_tests import record
from load_tests.bench import engine
from load_tests.bench.client import drive
from load_tests.bench.processes import cpu_seconds, machine_cpu_seconds, peak_memory
from load_tests.bench.servers import (
    ALIKE,
    BEFORE,
    PEERS,
    CannotStart,
    Recipe,
    Server,
    lowest_cosine,
    ours,
    ours_at,
    started,
)
from load_tests.bench.tables import Measurement, fair_lines, figures_table, kept_lines, ratios_table
from load_tests.bench.tokens import TokenCounter
from load_tests.bench.workloads import WORKLOADS, Workload, summarize
from load_tests.commits import CannotUnpack, unpack

WARM_UP = ("single", "bulk", "interactive", "long")
WARM_UP_SECONDS = 1.0
DEFAULT_PEERS = "infinity-torch infinity-onnx sentence-transformers"
NOISE_CORES = 0.1  # of other programs; a run with more says so
COOL_DOWN_SECONDS = 0.3  # threads of the last server stop spinning


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, record; exit code 1 if calls failed or no server of ours started."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the servers as Ctrl-C does
    names = options.workloads.split()
    try:
        if unknown := [name for name in names if name not in WORKLOADS]:
            raise ValueError(f"no workload {unknown[0]!r}; there are {' '.join(WORKLOADS)}")
        if options.record:
            record.check(options.record)
        if options.before:
            unpack(options.before, BEFORE)
    except (ValueError, OSError, CannotUnpack) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    workloads = [WORKLOADS[name] for name in names]
    began = time.monotonic()
    try:
        with contextlib.ExitStack() as stack:
            servers, notes = start_all(
                stack, options.precision.split(), options.peers.split(), options.before
            )
            notes.append(f"Calls begin for {options.seconds:g} s of a run; all are awaited.")
            measurements = measure_all(servers, workloads, options.rounds, options.seconds)
            encoders = [
                engine.measure(server, options.rounds, options.seconds)
                for server in servers
                if options.engine == "yes" and server.name.startswith("ours ")
            ]
    except CannotStart as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    section = report(measurements, encoders, notes, time.monotonic() - began)
    print(section)
    record.keep(measurements, encoders, section, options.record)
    return int(any(group.failures for run in measurements for group in run.groups))


def start_all(
    stack: contextlib.ExitStack,
    precisions: Sequence[str],
    peers: Sequence[str],
    commit: str = "",
) -> tuple[list[Server], list[str]]:
    """All servers, ready, and what is to be said of them; a peer that cannot start is left out.

    commit  whose service is one of them; empty for none

    Raises: CannotStart if ours does not.
    """
    servers: list[Server] = []
    notes = []
    recipes: list[Callable[[], Recipe]] = [partial(ours, precision) for precision in precisions]
    if commit:
        recipes += [partial(ours_at, commit, precision) for precision in precisions]
    own = len(recipes)
    recipes += [PEERS[peer] for peer in peers]
    for recipe in recipes:
        try:
            servers.append(_start(stack, recipe, servers[:1]))
        except CannotStart as error:
            if len(servers) < own:
                raise
            notes.append(f"Left out: {error}.")
    for server in servers[1:]:
        cosine = lowest_cosine(server, servers[0])
        notes.append(f"Lowest cosine of {server.name} to {servers[0].name}: {cosine:.6f}.")
    return servers, notes


def measure_all(
    servers: Sequence[Server], workloads: Sequence[Workload], rounds: int, seconds: float
) -> list[Measurement]:
    """Every workload on every server in every round, one after the other."""
    for server in servers:
        for name in WARM_UP:
            asyncio.run(drive(server.target, WORKLOADS[name], WARM_UP_SECONDS, f"warm/{name}"))
    measurements = []
    for number in range(rounds):
        first = number % len(servers)
        for workload in workloads:
            for server in (*servers[first:], *servers[:first]):
                if workload.only_ours and not server.name.startswith(("ours ", "before ")):
                    continue
                measurements.append(measure(server, workload, number, seconds))
                print(progress(measurements[-1]), flush=True)
                time.sleep(COOL_DOWN_SECONDS)
    return measurements


def measure(server: Server, workload: Workload, number: int, seconds: float) -> Measurement:
    """One run, with the same texts for every server of a round."""
    machine, before = machine_cpu_seconds(), cpu_seconds(server.process)
    with peak_memory(server.process) as peak:
        outcome = asyncio.run(drive(server.target, workload, seconds, f"{workload.name}/{number}"))
    taken = cpu_seconds(server.process) - before
    elsewhere = machine_cpu_seconds() - machine - taken - outcome.client_cpu_seconds
    counter = TokenCounter.shared()
    groups = []
    for group in workload.groups:
        answered = [c for c in outcome.calls if c.group == group.name and not c.failed]
        counts = [counter.count(call.texts) for call in answered]
        groups.append(summarize(group.name, outcome.calls, counts))
    return Measurement(
        server=server.name,
        workload=workload.name,
        round=number,
        seconds=outcome.seconds,
        groups=tuple(groups),
        server_cpu_seconds=taken,
        client_cpu_seconds=outcome.client_cpu_seconds,
        elsewhere_cpu_seconds=max(0.0, elsewhere),
        peak_mib=peak.mib,
    )


def progress(run: Measurement) -> str:
    """One run as one line, while the others still wait."""
    rates = ", ".join(
        f"{group.group} {group.texts_per_second:.1f} texts/s p50 {group.p50_milliseconds:.0f}"
        f" p99 {group.p99_milliseconds:.0f} ms"
        for group in run.groups
    )
    noise = run.cores_busy_elsewhere
    warning = f"  (noisy: {noise:.2f} cores busy elsewhere)" if noise > NOISE_CORES else ""
    return f"round {run.round + 1}  {run.workload:16} {run.server:22} {rates}{warning}"


def report(
    measurements: Sequence[Measurement],
    encoders: Sequence[engine.EngineFigures],
    notes: Sequence[str],
    seconds: float,
) -> str:
    """The section of docs/benchmarks.md."""
    servers = list(dict.fromkeys(run.server for run in measurements))
    client = max(run.client_cpu_seconds / run.seconds for run in measurements)
    noise = [run.cores_busy_elsewhere for run in measurements]
    parts = [
        *notes,
        f"The client took at most {client:.2f} cores; everything else on the machine, the idle"
        f" servers included, {median(noise):.2f} in the median and {max(noise):.2f} at most.",
        f"All of it took {seconds / 60:.0f} minutes.",
        "",
        figures_table(measurements),
    ]
    for name in (server for server in servers if server.startswith("ours ")):
        parts += ["", ratios_table(measurements, name)]
    parts += ["", *(f"- {line}" for line in (*kept_lines(measurements), *fair_lines(measurements)))]
    parts += [line for encoder in encoders for line in ("", engine.table(encoder))]
    return record.section(parts, measurements)


def _start(
    stack: contextlib.ExitStack, recipe: Callable[[], Recipe], reference: Sequence[Server]
) -> Server:
    """A server that computes the same as the reference, if there is one yet.

    Raises: CannotStart.
    """
    found = recipe()
    print(f"Starting {found.name}", flush=True)
    with contextlib.ExitStack() as attempt:
        server = attempt.enter_context(started(found))
        for other in reference:
            cosine = lowest_cosine(server, other)
            if cosine < ALIKE and "int8" not in server.name:
                raise CannotStart(f"{server.name} gives other vectors, cosine {cosine:.4f}")
        stack.push(attempt.pop_all())
    return server


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m load_tests.bench",
        description="This service against its peers, one run on one machine.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="of every workload on every server")
    add("--seconds", type=float, default=5.0, help="of one run, before the last calls are awaited")
    add("--workloads", default=" ".join(WORKLOADS), help="names, separated by spaces")
    add(
        "--peers",
        default=DEFAULT_PEERS,
        help=f"of {', '.join(PEERS)}, separated by spaces; may be empty",
    )
    add("--before", default="", metavar="COMMIT", help="also this service as it was then")
    add("--precision", default="fp32", help="of our encoder; several are separate servers")
    add("--engine", choices=["yes", "no"], default="yes", help="also measure the encoder alone")
    add("--record", type=Path, metavar="FILE", help="Markdown file that gets the new section")
    return parser


if __name__ == "__main__":
    sys.exit(main())
