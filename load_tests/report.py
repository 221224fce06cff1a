"""The calls of a load test → a table, plots, one HTML page, and an exit code.

`python -m load_tests.report build/load` reads records.csv there and writes beside it.
"""

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from load_tests import plots
from load_tests.record import commit, machine
from load_tests.scenarios import LEAST_REACHED, MOST_FAILED, SCENARIOS, Record

SETTLING_SECONDS = 2.0  # of every step, in which its users still start
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Step:
    """One scenario while its number of users stayed the same."""

    scenario: str
    users: int
    calls: int
    failed: int
    asked_calls_per_second: float | None
    reached_calls_per_second: float
    texts_per_second: float
    p50: float
    p95: float
    p99: float

    @property
    def saturated(self) -> bool:
        """Paced users that were kept waiting: their latency says too little."""
        asked = self.asked_calls_per_second
        return asked is not None and self.reached_calls_per_second < LEAST_REACHED * asked


def main(arguments: Sequence[str]) -> int:
    """Write and print the report of a folder; exit code 1 if a limit is passed."""
    (folder,) = map(Path, arguments)
    steps = summarize(read(folder / "records.csv"))
    if not steps:
        print("report: no call was recorded", file=sys.stderr)
        return 1
    complaints = judge(steps)
    text = table(steps)
    figures = {"commit": commit(), "machine": machine(), "steps": steps, "complaints": complaints}
    (folder / "report.json").write_bytes(orjson.dumps(figures) + b"\n")
    images = draw(steps, folder)
    title = f"Load test of {commit()} on {machine()}"
    (folder / "report.html").write_text(plots.page(title, text, complaints, images))
    print(text)
    print(*complaints, f"Report: {folder / 'report.html'}", sep="\n")
    return int(bool(complaints))


def read(file: Path) -> list[Record]:
    """What the locustfile wrote."""
    with file.open(newline="") as stream:
        return [
            Record(
                scenario=row["scenario"],
                users=int(row["users"]),
                answered=float(row["answered"]),
                milliseconds=float(row["milliseconds"]),
                failed=row["failed"] == "1",
            )
            for row in csv.DictReader(stream)
        ]


def summarize(records: Sequence[Record]) -> list[Step]:
    """Each scenario at each number of users, in that order; what settles is left out."""
    keys = sorted({(record.scenario, record.users) for record in records if record.users})
    steps = []
    for scenario, users in keys:
        own = [r for r in records if (r.scenario, r.users) == (scenario, users)]
        first = min(record.answered for record in own) + SETTLING_SECONDS
        if settled := [record for record in own if record.answered >= first]:
            steps.append(_step(scenario, users, settled, first))
    return steps


def judge(steps: Sequence[Step]) -> list[str]:
    """One sentence for every limit that is passed."""
    complaints = []
    for step in steps:
        where = f"{step.scenario}, {step.users} users"
        if step.failed > MOST_FAILED * step.calls:
            complaints.append(f"{where}: {step.failed} of {step.calls} calls failed.")
        if step.saturated:
            share = step.reached_calls_per_second / (step.asked_calls_per_second or 1)
            complaints.append(f"{where}: saturated, {share:.0%} of the rate asked for.")
        if step.p99 > SCENARIOS[step.scenario].p99_milliseconds:
            most = SCENARIOS[step.scenario].p99_milliseconds
            complaints.append(f"{where}: p99 {step.p99:.0f} ms, the limit is {most:.0f}.")
    return complaints


def table(steps: Sequence[Step]) -> str:
    """What people read in a terminal."""
    form = "{:12} {:>5} {:>7} {:>6} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}  {}"
    lines = [
        form.format(
            *("scenario", "users", "calls", "failed", "asked/s", "reached", "texts/s"),
            *("p50 ms", "p95 ms", "p99 ms", ""),
        )
    ]
    for step in steps:
        asked = step.asked_calls_per_second
        rates = ("-" if asked is None else f"{asked:.1f}", f"{step.reached_calls_per_second:.1f}")
        times = (f"{value:.0f}" for value in (step.p50, step.p95, step.p99))
        row = (step.scenario, step.users, step.calls, step.failed, *rates)
        label = "saturated" if step.saturated else ""
        lines.append(form.format(*row, f"{step.texts_per_second:.1f}", *times, label))
    return "\n".join(lines)


def draw(steps: Sequence[Step], folder: Path) -> list[Path]:
    """Throughput and latency over the number of users, one plot a scenario."""
    images = []
    for scenario in dict.fromkeys(step.scenario for step in steps):
        own = [step for step in steps if step.scenario == scenario]
        images.append(
            plots.throughput_and_latency(
                folder / f"{scenario}.png",
                scenario,
                "users",
                plots.Curves(
                    load=[step.users for step in own],
                    per_second=[step.texts_per_second for step in own],
                    milliseconds={
                        "p50": [step.p50 for step in own],
                        "p95": [step.p95 for step in own],
                        "p99": [step.p99 for step in own],
                    },
                ),
            )
        )
    return images


def _step(scenario: str, users: int, records: Sequence[Record], began: float) -> Step:
    seconds = max(max(record.answered for record in records) - began, 1e-3)
    answered = [record for record in records if not record.failed]
    milliseconds = [record.milliseconds for record in answered] or [float("nan")]
    p50, p95, p99 = np.percentile(milliseconds, PERCENTILES).tolist()
    pace = SCENARIOS[scenario].calls_per_second
    return Step(
        scenario=scenario,
        users=users,
        calls=len(records),
        failed=len(records) - len(answered),
        asked_calls_per_second=users * pace if pace else None,
        reached_calls_per_second=len(records) / seconds,
        texts_per_second=len(answered) * SCENARIOS[scenario].texts_per_call / seconds,
        p50=p50,
        p95=p95,
        p99=p99,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
