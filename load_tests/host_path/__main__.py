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
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from load_tests.bench import servers
from load_tests.bench.client import Target
from load_tests.host_path import clocks, report
from load_tests.host_path.bodies import Calls
from load_tests.host_path.rows import ROWS, Row, chosen
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, record; exit code 1 if something is missing, 2 if a bar is missed."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the servers as Ctrl-C does
    began = time.monotonic()
    try:
        rows = chosen(options.only.split())
        sides = {NOW: of_working_tree()}
        if options.before:
            sides = {BEFORE: of_commit(options.before), **sides}
        costs = [
            cost
            for settings in dict.fromkeys(row.settings for row in rows)
            for cost in measure_settings(settings, sides, rows, options.rounds, options.seconds)
        ]
    except (CannotMeasure, servers.CannotStart, ValueError) as error:
        print(f"host-path: {error}", file=sys.stderr)
        return 1
    section = report.section(rows, costs, options, time.monotonic() - began)
    print(f"\n{section}")
    if options.record:
        report.keep(section, options.record)
    return 2 if report.missed(rows, costs) else 0


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
        (tokenizer_json,) = repositories[NOW].glob("*/1/tokenizer.json")
        for number in range(rounds):
            for row in rows:
                names = list(running)[:: -1 if number % 2 else 1]
                for name in names:
                    yield _measure(client, running[name], row, name, number, seconds)
                yield _floor(floor, str(tokenizer_json.absolute()), row, number, seconds)


def _measure(
    client: Worker, server: servers.Server, row: Row, side: str, number: int, seconds: float
) -> Cost:
    """One row on one side in one round."""
    calls = _calls(row, server.target.model, number)
    target = asdict(server.target)
    client.prepare(
        {"target": target, "calls": calls, "callers": row.callers, "seconds": _limit(row, seconds)}
    )
    processes = clocks.roles(server.process)
    before = clocks.read(processes)
    figures = client.go()
    taken = clocks.read(processes)
    taken.subtract(before)
    cost = _cost(row, side, number, figures["calls"], {**taken, "client": figures["client"]})
    print(progress(cost), flush=True)
    return cost


def _floor(floor: Worker, tokenizer_json: str, row: Row, number: int, seconds: float) -> Cost:
    """The same calls, as much as must be done of them."""
    calls = _calls(row, "model", number)
    job = {"tokenizer_json": tokenizer_json, "calls": calls, "seconds": _limit(row, seconds)}
    floor.prepare(job)
    figures = floor.go()
    cost = _cost(row, FLOOR, number, figures["calls"], {"floor": figures["floor"]})
    print(progress(cost), flush=True)
    return cost


def _calls(row: Row, model: str, part: int) -> dict[str, object]:
    return asdict(Calls(model, row.source, row.tokens, row.texts, row.encoding_format, part))


def _limit(row: Row, seconds: float) -> float:
    """Texts that are never seen twice end by themselves."""
    return 60.0 if row.is_fresh else seconds


def _cost(row: Row, side: str, number: int, calls: int, nanoseconds: dict[str, int]) -> Cost:
    if not calls:
        raise CannotMeasure(f"{row.key}: no call was made: there are fewer texts than rounds want")
    texts = calls * row.texts
    each = {role: taken / texts / 1000 for role, taken in nanoseconds.items()}
    return Cost(row.key, side, number, calls, each)


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
    add("--rounds", type=int, default=3, help="of every row on every side")
    add("--seconds", type=float, default=1.5, help="of one row with texts that repeat")
    add("--record", type=Path, metavar="FILE", help="Markdown file whose section is replaced")
    return parser


if __name__ == "__main__":
    sys.exit(main())
