"""python -m gateway usage: what was answered, summed from the usage log."""

import argparse
import csv
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path

import orjson

from gateway.usage.report import FIELDS, Report, add_up, find_files

NUMBERS = ("calls", "texts", "tokens")
VARIABLE = "GATEWAY_USAGE_LOG"
MAX_TOLD_LINES = 5  # of damaged ones


def main(arguments: Sequence[str]) -> None:
    """Prints the sums; ends with code 2 for wrong arguments, 1 for what cannot be read.

    Damaged lines, and records that are missing, are told on stderr and change no exit code.
    """
    options = _parser().parse_args(arguments)
    places = options.folders or [Path(path) for path in [os.environ.get(VARIABLE)] if path]
    try:
        if not places:
            raise OSError(f"name the folder of the log, or set {VARIABLE}")
        report = add_up(find_files(places), options.by, options.since or "", options.until or "")
    except OSError as error:
        sys.exit(f"usage: {_sentence(error)}")
    _PRINTERS[options.format](report, options.by)
    for line in _doubts(report):
        print(f"usage: {line}", file=sys.stderr)


def _sentence(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _doubts(report: Report) -> Iterable[str]:
    """What a bill from these logs may lack, in sentences."""
    if report.damaged:
        yield f"{len(report.damaged)} damaged lines are not counted:"
        for file, number in report.damaged[:MAX_TOLD_LINES]:
            yield f"  {file}, line {number}"
    if report.missing:
        yield (
            f"{report.missing} records between others are missing: damaged, removed, or lost while"
            " the disk was full"
        )
    if report.twice:
        yield f"{report.twice} records were found more than once and are counted once"


def _print_table(report: Report, by: Sequence[str]) -> None:
    rows = [(*group, *map(str, numbers)) for group, numbers in _rows(report)]
    total = ("total", *[""] * (len(by) - 1), *map(str, astuple(report.total())))
    rows = [(*by, *NUMBERS), *rows, total]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if place < len(by) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _print_json(report: Report, by: Sequence[str]) -> None:
    body = {
        "by": by,
        "rows": [
            dict(zip((*by, *NUMBERS), (*group, *numbers), strict=True))
            for group, numbers in _rows(report)
        ],
        "total": dict(zip(NUMBERS, astuple(report.total()), strict=True)),
        "damaged_lines": len(report.damaged),
        "missing_records": report.missing,
        "records_found_twice": report.twice,
    }
    print(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())


def _print_csv(report: Report, by: Sequence[str]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow((*by, *NUMBERS))
    writer.writerows((*group, *numbers) for group, numbers in _rows(report))


_PRINTERS = {"table": _print_table, "json": _print_json, "csv": _print_csv}


def _rows(report: Report) -> list[tuple[tuple[str, ...], tuple[int, ...]]]:
    return [(group, astuple(sums)) for group, sums in sorted(report.groups.items())]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateway usage",
        description="Sums what was answered, from the log that the gateway writes to"
        f" {VARIABLE}. All times are UTC.",
    )
    add = parser.add_argument
    add(
        "--since",
        type=_moment,
        metavar="TIME",
        help="first moment, such as 2026-11-01 or 2026-11-01T08:30",
    )
    add(
        "--until",
        type=_moment,
        metavar="TIME",
        help="first moment that is left out: --since 2026-11-01 --until 2026-12-01 is November",
    )
    add(
        "--by",
        type=_names,
        default=("key", "model"),
        metavar="FIELDS",
        help=f"what to sum by, of {', '.join(FIELDS)}, with commas between; key,model if absent",
    )
    add("--format", choices=_PRINTERS, default="table", help="of what is printed; table if absent")
    add("folders", nargs="*", type=Path, metavar="FOLDER",
        help=f"of the log, or one of its files; {VARIABLE} if absent")  # fmt: skip
    return parser


def _moment(text: str) -> str:
    """A time as records have it, up to the second; what names no zone is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time such as 2026-11-01 or 2026-11-01T08:30"
        ) from error
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC).isoformat()[:19]


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
    wrong = [name for name in names if name not in FIELDS]
    if wrong or not names:
        raise argparse.ArgumentTypeError(
            f"{', '.join(wrong) or 'nothing'} is not one of {', '.join(FIELDS)}"
        )
    return names
