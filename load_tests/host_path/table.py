"""Costs of several rounds → the tables that people read. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from load_tests.host_path.clocks import ROLES
from load_tests.host_path.rows import Bar, Row

BEFORE, NOW, FLOOR = "before", "now", "floor"


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU microseconds a text by role, of one row, side and round; `client` is among the roles.

    elsewhere  cores that everything else on the machine kept busy meanwhile
    """

    row: str
    side: str
    round: int
    calls: int
    microseconds: Mapping[str, float]
    elsewhere: float = 0.0

    @property
    def total(self) -> float:
        """Of all but the client."""
        return sum(cost for role, cost in self.microseconds.items() if role != "client")


@dataclass(frozen=True, slots=True)
class Costs:
    """All that were measured."""

    all: Sequence[Cost]

    def total(self, row: str, side: str) -> float | None:
        """Median over the rounds; None if it was not measured."""
        found = self.totals(row, side)
        return median(found) if found else None

    def role(self, row: str, side: str, role: str) -> float | None:
        found = [cost.microseconds.get(role, 0.0) for cost in self._of(row, side)]
        return median(found) if found else None

    def ratios(self, row: str, side: str, other: str) -> list[float]:
        """One side over another, in each round."""
        theirs = {cost.round: cost.total for cost in self._of(row, other)}
        return [c.total / theirs[c.round] for c in self._of(row, side) if c.round in theirs]

    def totals(self, row: str, side: str) -> list[float]:
        """Of each round."""
        return [cost.total for cost in self._of(row, side)]

    @property
    def elsewhere(self) -> float:
        """Median over all that were measured through a service."""
        return median(cost.elsewhere for cost in self.all if cost.side != FLOOR)

    def _of(self, row: str, side: str) -> list[Cost]:
        return [cost for cost in self.all if (cost.row, cost.side) == (row, side)]


def judge(row: Row, costs: Costs) -> str:
    """The bar, and whether it is kept: "≤ 45: yes"."""
    if row.bar is None:
        return ""
    found = _against(row, row.bar, costs)
    of = {None: "", BEFORE: " x before"}.get(row.bar.of, f" x {row.bar.of}")
    verdict = "not measured" if found is None else "yes" if found <= row.bar.most else "**no**"
    return f"≤ {row.bar.most:g}{of}: {verdict}"


def is_missed(row: Row, costs: Costs) -> bool:
    return "**no**" in judge(row, costs)


def main_table(rows: Sequence[Row], costs: Costs) -> str:
    """One line a row: before, now, their ratio, the bar, the floor; medians (least to most)."""
    lines = [
        "| row | calls | format | before | now | now / before | bar | floor |",
        "| --- | --- | --- | ---: | ---: | ---: | --- | ---: |",
    ]
    for row in rows:
        cells = [
            f"`{row.key}`",
            row.what,
            row.encoding_format,
            _number(costs.total(row.key, BEFORE)),
            _spread(costs.totals(row.key, NOW)),
            _spread(costs.ratios(row.key, NOW, BEFORE), ".2f"),
            judge(row, costs),
            _number(costs.total(row.key, FLOOR)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def roles_table(rows: Sequence[Row], costs: Costs) -> str:
    """Where it goes: each process, before and now, and the client apart."""
    roles = (*ROLES, "client")
    lines = [f"| row | side | {' | '.join(roles)} |", "| --- | --- |" + " ---: |" * len(roles)]
    for row in rows:
        for side in (BEFORE, NOW):
            if costs.total(row.key, side) is None:
                continue
            cells = [_number(costs.role(row.key, side, role)) for role in roles]
            lines.append(f"| `{row.key}` | {side} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _against(row: Row, bar: Bar, costs: Costs) -> float | None:
    """What the bar is compared with."""
    if bar.of is None:
        return costs.total(row.key, NOW)
    if bar.of == BEFORE:
        ratios = costs.ratios(row.key, NOW, BEFORE)
        return median(ratios) if ratios else None
    own, other = costs.total(row.key, NOW), costs.total(bar.of, NOW)
    return own / other if own is not None and other is not None else None


def _spread(values: Sequence[float], form: str = "") -> str:
    if not values:
        return "-"
    least, most = _number(min(values), form), _number(max(values), form)
    return f"{_number(median(values), form)} ({least} to {most})"


def _number(value: float | None, form: str = "") -> str:
    if value is None:
        return "-"
    return f"{value:{form or ('.1f' if value < 100 else '.0f')}}"
