"""Autoscaling by simulation.

python -m tests.scaling --speed 6 rise burst
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from load_tests.record import commit, machine
from tests.prometheus import MISSING, find
from tests.scaling.report import HEAD, judge
from tests.scaling.scenarios import SCENARIOS
from tests.scaling.simulation import Outcome, Simulation

SPEED = 6.0


async def simulate(names: Sequence[str], folder: Path, speed: float) -> list[Outcome]:
    """All at the same time."""
    barrier = asyncio.Barrier(len(names))
    simulations = [
        Simulation(SCENARIOS[name], number, folder / name, speed, barrier)
        for number, name in enumerate(names, 1)
    ]
    return await asyncio.gather(*(simulation.run() for simulation in simulations))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.scaling", description=__doc__)
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(SCENARIOS)}; none is all")
    parser.add_argument("--speed", type=float, default=SPEED, help="seconds simulated in one")
    parser.add_argument("--plot", type=Path, help="file for the plot, PNG or SVG")
    options = parser.parse_args(arguments)
    names = options.scenarios or list(SCENARIOS)
    if unknown := set(names) - SCENARIOS.keys():
        parser.error(f"no scenario {', '.join(sorted(unknown))}")
    if not find("prometheus"):
        print(MISSING, file=sys.stderr)
        return 1
    # Whoever ends this ends what it has started too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="scaling-") as folder:
        outcomes = asyncio.run(simulate(names, Path(folder), options.speed))
    print(f"Commit {commit()} on {machine()}, {options.speed:g} times as fast.\n\n{HEAD}")
    for outcome in outcomes:
        print(judge(outcome).row())
    late = max(outcome.late_seconds for outcome in outcomes)
    print(f"\nThe simulation itself was {late:.1f} s late at worst.")
    if options.plot:
        from tests.scaling.plot import draw

        draw(outcomes, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
