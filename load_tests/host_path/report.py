"""The section of docs/benchmarks.md."""

import argparse
import datetime
from collections.abc import Sequence
from pathlib import Path

from load_tests.host_path.rows import FRESH_CALLS, Row
from load_tests.host_path.table import Cost, Costs, is_missed, main_table, roles_table
from load_tests.record import commit, machine

BEGIN = "<!-- make host-path writes from here -->"
END = "<!-- to here -->"


def section(
    rows: Sequence[Row],
    costs: Sequence[Cost],
    notes: Sequence[str],
    options: argparse.Namespace,
    seconds: float,
) -> str:
    """Tables, and what they were measured on."""
    measured = Costs(costs)
    parts = [
        f"{datetime.date.today().isoformat()}, commit {commit()}"
        f"{f' against {options.before}' if options.before else ''}."
        f" Machine: {machine()}; other programs kept {measured.elsewhere:.1f} cores busy.",
        f"CPU µs a text, client left out, medians of {options.rounds} rounds of"
        f" {options.seconds:g} s, or of at most {FRESH_CALLS} calls where no text comes twice;"
        f" all of it took {seconds / 60:.0f} minutes.",
        *notes,
    ]
    for settings in dict.fromkeys(row.settings for row in rows):
        own = [row for row in rows if row.settings == settings]
        parts += ["", f"### {settings} settings", "", main_table(own, measured)]
        parts += ["", "By process:", "", roles_table(own, measured)]
    return "\n".join([*parts, ""])


def missed(rows: Sequence[Row], costs: Sequence[Cost]) -> list[str]:
    """Keys of the rows whose bar is missed."""
    return [row.key for row in rows if is_missed(row, Costs(costs))]


def check(file: Path) -> None:
    """Raises: ValueError if the file has no place for the section, OSError."""
    replace(file.read_text(), "")


def keep(text: str, file: Path) -> None:
    """Put the section into the place of the last one.

    Raises: ValueError if the file has no place for it, OSError.
    """
    file.write_text(replace(file.read_text(), text))


def replace(document: str, text: str) -> str:
    """The document with the section.

    Raises: ValueError.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the file to record in has no lines {BEGIN!r} and {END!r}")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"
