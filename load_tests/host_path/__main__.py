"""`make host-path`: CPU a text of everything but the encoder, before and now in one run.

A real repository is exported by each code, its encoder replaced by rows of a constant array, and
served by that code's own gateway and a real Triton. Rows and sides take turns; what a process took
is what the kernel says, so that other programs of the machine count little.
"""

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from load_tests.bench import servers
from load_tests.bench.client import Target
from load_tests.bench.processes import machine_cpu_seconds
from load_tests.host_path import clocks, report
from load_tests.host_path.bodies import Calls
from load_tests.host_path.corpus import texts_of
from load_tests.host_path.rows import FRESH_CALLS, ROWS, Row, chosen
from load_tests.host_path.sides import (
    FOLDER,
    CannotMeasure,
    Settings,
    Side,
    of_commit,
    of_working_tree,
)
from load_tests.host_path.table import BEFORE, FLOOR, NOW, Cost
from load_tests.host_path.worker import Worker

BEFORE_COMMIT = "415c50c"
LONG_SECONDS = 60.0  # which no row takes whose texts end
Job = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, record; exit code 1 if something is missing, 2 if a bar is missed."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the servers as Ctrl-C does
    began = time.monotonic()
    try:
        if options.record:
            report.check(options.record)
        rows, notes = with_texts(chosen(options.only.split()), options.rounds)
        sides = {NOW: of_working_tree()}
        if options.before:
            sides = {BEFORE: of_commit(options.before), **sides}
        costs = [
            cost
            for settings in dict.fromkeys(row.settings for row in rows)
            for cost in measure_settings(settings, sides, rows, options.rounds, options.seconds)
        ]
    except (CannotMeasure, servers.CannotStart, ValueError, OSError) as error:
        print(f"host-path: {error}", file=sys.stderr)
        return 1
    section = report.section(rows, costs, notes, options, time.monotonic() - began)
    print(f"\n{section}")
    if options.record:
        report.keep(section, options.record)
    return 2 if report.missed(rows, costs) else 0


def with_texts(rows: Sequence[Row], rounds: int) -> tuple[list[Row], list[str]]:
    """The rows whose texts can be had, and what is to be said of the others.

    Raises: CannotMeasure if that is none.
    """
    found, notes = [], []
    for row in rows:
        try:
            if row.is_fresh and not fresh_calls(row, rounds):
                raise CannotMeasure(
                    f"{rounds} rounds want more texts in {row.source} than there are"
                )
            found.append(row)
        except CannotMeasure as error:
            notes.append(f"Left out: `{row.key}`: {error}.")
            print(notes[-1], flush=True)
    if not found:
        raise CannotMeasure("nothing is left to measure")
    return found, notes


def fresh_calls(row: Row, rounds: int) -> int:
    """Calls of one round whose texts no server has seen before."""
    return min(FRESH_CALLS, len(texts_of(row.source)) // row.texts // rounds)


def measure_settings(
    settings: Settings, sides: dict[str, Side], rows: Sequence[Row], rounds: int, seconds: float
) -> Iterator[Cost]:
    """Costs of all rows with these settings, on all sides and the floor, in turns.

    Raises: CannotMeasure, CannotStart.
    """
    rows = [row for row in rows if row.settings == settings]
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(_worker("client"))
        floor = stack.enter_context(_worker("floor"))
        repositories = {name: side.repository(settings) for name, side in sides.items()}
        running = {
            name: stack.enter_context(servers.started(_recipe(side, settings)))
            for name, side in sides.items()
        }
        (step,) = repositories[NOW].glob("*-tokenizer")
        for number in range(rounds):
            for row in rows:
                names = list(running)[:: -1 if number % 2 else 1]
                for name in names:
                    job = _job(row, running[name].target.model, number, rounds, seconds)
                    yield _measure(client, running[name], row, name, number, job)
                job = _job(row, "model", number, rounds, seconds)
                yield _floor(floor, step.absolute(), row, number, job)


def _measure(
    client: Worker, server: servers.Server, row: Row, side: str, number: int, job: Job
) -> Cost:
    """One row on one side in one round."""
    client.prepare({**job, "target": asdict(server.target), "callers": row.callers})
    processes = clocks.roles(server.process)
    before, machine = clocks.read(processes), machine_cpu_seconds()
    figures = client.go()
    taken, machine = clocks.read(processes), machine_cpu_seconds() - machine
    taken.subtract(before)
    taken["client"] = figures["client"]
    elsewhere = (machine - taken.total() / 1e9) / figures["seconds"]
    return _cost(row, side, number, figures["calls"], taken, elsewhere)


def _floor(floor: Worker, step: Path, row: Row, number: int, job: Job) -> Cost:
    """The same calls, as much as must be done of them."""
    floor.prepare({**job, "step": str(step)})
    figures = floor.go()
    return _cost(row, FLOOR, number, figures["calls"], {"floor": figures["floor"]})


def _job(row: Row, model: str, part: int, rounds: int, seconds: float) -> Job:
    """What client and floor have in common; texts that are never sent twice end by themselves."""
    calls = Calls(model, row.source, row.tokens, row.texts, row.encoding_format)
    if not row.is_fresh:
        return {"calls": asdict(calls), "seconds": seconds}
    calls = replace(calls, part=part, part_calls=fresh_calls(row, rounds))
    return {"calls": asdict(calls), "seconds": LONG_SECONDS}


def _cost(
    row: Row,
    side: str,
    number: int,
    calls: int,
    nanoseconds: Mapping[str, int],
    elsewhere: float = 0.0,
) -> Cost:
    each = {role: taken / (calls * row.texts) / 1000 for role, taken in nanoseconds.items()}
    cost = Cost(row.key, side, number, calls, each, elsewhere)
    print(progress(cost), flush=True)
    return cost


def progress(cost: Cost) -> str:
    """One measurement as one line."""
    roles = ", ".join(f"{role} {taken:.1f}" for role, taken in cost.microseconds.items())
    return (
        f"round {cost.round + 1}  {cost.row:16} {cost.side:7} {cost.total:8.1f} µs a text"
        f" ({roles}; {cost.calls} calls)"
    )


def _worker(name: str) -> Worker:
    log = FOLDER / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return Worker(f"load_tests.host_path.{name}", log, os.environ, Path())


def _recipe(side: Side, settings: Settings) -> servers.Recipe:
    """`python -m gateway.local` of a side, with the defaults of every setting but the key's."""
    port = servers.free_port()
    log = side.code.parent / f"triton-{settings}.log"
    repository = side.code.parent / f"copy-{settings}"
    environ = side.environ | {"GATEWAY_API_KEYS": servers.KEY}
    return servers.Recipe(
        name=f"host-path-{side.name}-{settings}",
        command=(
            *(sys.executable, "-m", "gateway.local", "--repository", str(repository)),
            *("--port", str(port), "--log-file", str(log)),
        ),
        target=Target(
            url=f"http://127.0.0.1:{port}/v1/embeddings",
            model=side.model(settings),
            headers={"Authorization": f"Bearer {servers.KEY}"},
        ),
        environ=tuple(environ.items()),
        folder=side.code,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m load_tests.host_path",
        description="CPU a text outside the encoder, by process, before and now in one run.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--before", default=BEFORE_COMMIT, help="commit to compare with; empty: none")
    add("--only", default="", help=f"keys or patterns of {' '.join(row.key for row in ROWS)}")
    add("--rounds", type=int, default=5, help="of every row on every side")
    add("--seconds", type=float, default=1.0, help="of one row with texts that repeat")
    add("--record", type=Path, metavar="FILE", help="Markdown file whose section is replaced")
    return parser


if __name__ == "__main__":
    sys.exit(main())
