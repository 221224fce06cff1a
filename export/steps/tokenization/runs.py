"""The best path of a Unigram model through what repeats a million times, to the last bit.

Along such a run many paths are equally good, and which is best is up to the rounding of sums. But
while a sum keeps its power of two its last bit keeps its value, so adding a score adds the same
number of last bits wherever that happens. Then the differences between the latest sums say all
about those that follow: once they come again, so does everything until the next power of two, and
need not be calculated. 31 MB of dots have 27 powers of two.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import frexp, ulp

from .lattice import Lattice

MAX_COLUMNS = 65536  # that are calculated: some 0.3 s


@dataclass(frozen=True, slots=True)
class Jump:
    """Columns that are left out since they repeat the last ones before them.

    column  after which they are left out
    length  columns of one repetition
    times   repetitions that are left out
    """

    column: int
    length: int
    times: int


@dataclass(frozen=True, slots=True)
class Path:
    """Tokens from the end to the beginning, in rows that come as many times as said."""

    rows: list[tuple[Sequence[str], int]]

    def first(self, count: int) -> list[str]:
        """The first tokens, at most so many."""
        rows = ((row[::-1], times) for row, times in reversed(self.rows))
        return list(islice(_tokens(rows), count))

    def last(self, count: int) -> list[str]:
        """The last tokens, at most so many."""
        return list(islice(_tokens(self.rows), count))[::-1]


class Run:
    """Columns of a lattice, one a character: the best path that ends there."""

    def __init__(self, lattice: Lattice) -> None:
        self._lattice = lattice
        self._text = ""  # of the columns that are calculated, and of some that are not yet
        self._sums = [0.0]  # (columns + 1,)
        self._starts = [0]  # (columns + 1,) of the last tokens
        self._jumps: list[Jump] = []

    def add(self, text: str) -> None:
        """Adds a text."""
        self._text = self._text[: self._columns] + text
        for _ in text:
            self._add_column()

    def repeat(self, unit: str, copies: int) -> bool:
        """Adds a unit many times; False if that would take too long."""
        self._text = self._text[: self._columns] + unit * min(copies, MAX_COLUMNS)
        reach = self._lattice.reach(unit)
        scores = self._scores_of(unit, reach)
        seen: dict[tuple[float, ...], int] = {}  # state → column
        left = copies * len(unit)
        while left:
            if left % len(unit) == 0 and self._has_columns_since_jump(reach):
                state = self._state(reach)
                if state in seen and (gone := self._jump(seen[state], left, reach, scores)):
                    left -= gone
                    seen.clear()
                    continue
                seen[state] = self._columns
            if self._columns == MAX_COLUMNS:
                return False
            self._add_column()
            left -= 1
        return True

    def path(self) -> Path:
        """The best path through all that was added."""
        rows: list[tuple[Sequence[str], int]] = []
        column, jumps = self._columns, self._jumps.copy()
        while column or jumps:
            if jumps and column <= jumps[-1].column:
                column = self._retrace(jumps.pop(), column, rows)
            else:
                row, column = self._row(column, column - 1)
                rows.append((row, 1))
        return Path(rows)

    @property
    def _columns(self) -> int:
        return len(self._sums) - 1

    def _add_column(self) -> None:
        best, start, _ = self._lattice.best_arc(self._text, 0, self._columns + 1, self._sums)
        self._sums.append(best)
        self._starts.append(start)

    def _scores_of(self, unit: str, reach: int) -> list[float]:
        """Of the tokens that the repeated unit can have."""
        text = unit * (reach // len(unit) + 2)
        spans = ((i, j) for i in range(len(unit)) for j in range(i + 1, i + reach + 1))
        found = (self._lattice.scores.get(text[i:j]) for i, j in spans)
        return [self._lattice.unknown, *(score for score in found if score is not None)]

    def _has_columns_since_jump(self, reach: int) -> bool:
        """Whether no token of the next column can begin before the last jump."""
        return self._columns - reach > (self._jumps[-1].column if self._jumps else 0)

    def _state(self, reach: int) -> tuple[float, ...]:
        """What the next columns depend on: the latest sums but for their size."""
        latest = self._sums[-reach - 1 :]
        return (frexp(latest[-1])[1], *(latest[-1] - each for each in latest))

    def _jump(self, seen: int, left: int, reach: int, scores: list[float]) -> int:
        """Leaves out repetitions of the columns since a state was seen; how many columns."""
        length = self._columns - seen
        sums = self._sums[seen - reach :]
        gain = sums[-1] - sums[-1 - length]
        exponent = frexp(sums[-1])[1]
        bit = ulp(sums[-1])
        is_alike = all(frexp(each)[1] == exponent for each in sums)
        # Half a bit is rounded by what the sum is.
        if not is_alike or gain >= 0 or any(score / bit % 1 == 0.5 for score in scores):
            return 0
        # Up to the next power of two, but for what the last columns and the next tokens add.
        room = 2.0**exponent + sums[-1] + 2 * reach * min(scores)
        times = min(left // length, int(room / -gain))
        if times <= 0:
            return 0
        self._jumps.append(Jump(self._columns, length, times))
        for index in range(-reach - 1, 0):
            self._sums[index] += times * gain
        return times * length

    def _row(self, column: int, stop: int) -> tuple[list[str], int]:
        """The last tokens of the path to a column, until one begins at the stop or before it."""
        row = []
        while column > stop:
            start = self._starts[column]
            row.append(self._text[start:column])
            column = start
        return row, column

    def _retrace(self, jump: Jump, column: int, rows: list[tuple[Sequence[str], int]]) -> int:
        """Adds the rows of a path through repetitions that were left out.

        column   before the jump that stands for one in the last repetition
        returns  the column before the jump where the path comes out
        """
        left = jump.times
        seen: dict[int, tuple[int, int]] = {}  # column → repetitions left, and rows so far
        while left:
            if column in seen:  # from here on it goes round
                before, index = seen[column]
                length = before - left
                if times := left // length:
                    round_ = [token for row, _ in rows[index:] for token in row]
                    rows.append((round_, times))
                    left -= times * length
                    seen.clear()
                    continue
            seen[column] = (left, len(rows))
            row, column = self._row(column, jump.column - jump.length)
            rows.append((row, 1))
            column += jump.length
            left -= 1
        return column


def _tokens(rows: Iterable[tuple[Sequence[str], int]]) -> Iterator[str]:
    for row, times in rows:
        for _ in range(times):
            yield from row
