"""Rows → the section for docs/benchmarks.md: `python -m load_tests.gpu.table ROWS`.

What was expected stands beside what was measured. Of a case that was measured again the last row
counts; a share of the roof is of the same call, and a ratio to ours says where it is not.
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from load_tests.gpu.expected import expected
from load_tests.gpu.rows import Context, Row, read_rows

NONE = "-"
OURS = "ours, formula"


@dataclass(frozen=True, slots=True)
class Columns:
    """A table of one part.

    case     keys of the case
    figures  keys of the figures, the one that something was expected of first
    extra    a further column: its heading, and a row's cell
    """

    title: str
    case: tuple[str, ...]
    figures: tuple[str, ...]
    extra: tuple[str, Callable[["Row", Sequence["Row"]], str]] | None = None


def share_of_roof(row: Row, rows: Sequence[Row]) -> str:
    """TFLOP/s ÷ those of the largest product in the same call."""
    roofs = [
        each
        for each in rows
        if each.part == "roof" and each.case["what"] == "product" and _same_call(each, row)
    ]
    if not roofs or "tflops" not in row.figures:
        return NONE
    roof = max(roofs, key=lambda each: each.case["size"])
    return f"{100 * row.figures['tflops'] / roof.figures['tflops']:.0f} %"


def ratio_to_ours(row: Row, rows: Sequence[Row]) -> str:
    """Tokens a second ÷ ours on the same texts, of the same call if it was measured there."""
    ours = [
        each
        for each in rows
        if each.part == "peers"
        and (each.case["shape"], each.case.get("mix")) == (row.case["shape"], row.case.get("mix"))
        and each.case["peer"] == OURS
        and _place(each.context) == _place(row.context)
        and not each.has_failed
    ]
    if not ours or row.has_failed:
        return NONE
    same = [each for each in ours if each.context.call == row.context.call]
    told = f"{row.figures['tokens_per_s'] / (same or ours)[-1].figures['tokens_per_s']:.2f}"
    return told if same else f"{told}, another call"


TABLES = {
    "roof": Columns("The card itself", ("what", "size"), ("tflops", "tb_per_s")),
    "load": Columns(
        "Start",
        ("shape", "form", "start"),
        ("import_s", "session_s", "first_run_s", "weights_mib", "device_mib", "resident_mib"),
    ),
    "numerics": Columns(
        "Vectors against those of the CPU", ("shape", "form"), ("min_cosine", "mean_cosine")
    ),
    "composition": Columns("A text in other company", ("shape", "form"), ("max_difference",)),
    "canary": Columns("Canary texts", ("shape", "form"), ("min_cosine", "bound", "is_ready")),
    "engine": Columns(
        "The encoder alone",
        ("shape", "form", "tokens", "mix", "workers"),
        ("tokens_per_s", "ms", "tflops"),
        ("share of the roof", share_of_roof),
    ),
    "one text": Columns("One text", ("shape", "form", "tokens"), ("p50_ms", "p99_ms")),
    "queries": Columns(
        "Queries under bulk",
        ("shape", "budget"),
        ("p99_ms", "p50_ms", "alone_p50_ms", "tokens", "bulk_tokens_per_s"),
    ),
    "memory": Columns(
        "Memory of the card, MiB",
        ("shape", "form"),
        ("end_mib", "before_mib", "loaded_mib", "warm_mib", "half_mib"),
    ),
    "peers": Columns(
        "Peers, the same texts",
        ("shape", "peer", "mix"),
        ("tokens_per_s",),
        ("÷ ours", ratio_to_ours),
    ),
    "service": Columns(
        "The whole service",
        ("shape", "way", "workload"),
        ("tokens_per_s", "texts_per_s", "p50_ms", "query_p50_ms", "query_p99_ms", "failures"),
    ),
}


def section(rows: Sequence[Row]) -> str:
    """All that was measured, by card and commit."""
    by_place = sorted(rows, key=lambda row: _place(row.context))
    parts = [
        _of_place(list(group)) for _, group in groupby(by_place, lambda row: _place(row.context))
    ]
    return "\n\n".join(parts)


def _of_place(rows: Sequence[Row]) -> str:
    context = rows[-1].context
    versions: dict[str, str] = {}
    for row in rows:
        versions |= row.context.versions
    told = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    lines = [
        f"## {_date(context)}, {context.card}, commit {context.commit}",
        "",
        f"`make gpu-check`, driver {context.driver or 'unknown'}, {told}.",
    ]
    if context.fake:
        lines.append("Of a fake device: **the figures mean nothing.**")
    for part, columns in TABLES.items():
        own = _latest(row for row in rows if row.part == part)
        if own:
            lines += ["", f"### {columns.title}", "", *_table(part, columns, own, rows)]
    return "\n".join(lines)


def _table(part: str, columns: Columns, own: Sequence[Row], rows: Sequence[Row]) -> list[str]:
    extra = (columns.extra[0],) if columns.extra else ()
    headings = [*columns.case, *columns.figures, *extra, "expected"]
    lines = [f"| {' | '.join(heading.replace('_', ' ') for heading in headings)} |"]
    lines.append(
        "| --- " * len(columns.case) + "| ---: " * (len(headings) - len(columns.case)) + "|"
    )
    for row in own:
        cells = [str(row.case.get(key, "")) for key in columns.case]
        if row.has_failed:
            cells += [row.figures["error"].replace("|", "/").replace("\n", " ")]
            cells += [""] * (len(headings) - len(cells) - 1)
        else:
            cells += [_number(row.figures.get(key)) for key in columns.figures]
            cells += [columns.extra[1](row, rows)] if columns.extra else []
        lines.append(f"| {' | '.join([*cells, expected(part, row.case)])} |")
    return lines


def _latest(rows: Iterable[Row]) -> list[Row]:
    """One a case, where it was first; an error counts only where nothing else is."""
    latest: dict[str, Row] = {}
    for row in rows:
        key = str(sorted(row.case.items()))
        if not (row.has_failed and key in latest):
            latest[key] = row
    return list(latest.values())


def _number(value: Any) -> str:
    """Three digits, or all before the point."""
    if isinstance(value, (int, float)) and value >= 1e5:
        return f"{value / 1e6:.3g} M"
    if value is None:
        return NONE
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _same_call(one: Row, other: Row) -> bool:
    return one.context.call == other.context.call


def _date(context: Context) -> str:
    return f"{context.call[:4]}-{context.call[4:6]}-{context.call[6:8]}"


def _place(context: Context) -> tuple[str, str, bool]:
    return context.card, context.commit, context.fake


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("rows", type=Path)
    print(section(read_rows(parser.parse_args().rows)))


if __name__ == "__main__":
    main()
