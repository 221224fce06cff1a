"""Rows: what was measured, printed and kept at once, and not measured again.

A row is a line of JSON: the part, the case within it, its figures, and what they were measured on.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

LONGEST_ERROR = 1500  # characters
Case = Mapping[str, Any]
Figures = Mapping[str, Any]


class TimeIsOver(Exception):
    """No further row is begun in this call."""


@dataclass(frozen=True, slots=True)
class Context:
    """What rows are measured on, and when.

    call    of which this is a part: shares of the roof are of one call
    driver  its version, "" where the kernel does not tell
    fake    whether figures mean nothing
    """

    card: str
    driver: str
    commit: str
    call: str
    fake: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    part: str
    case: dict[str, Any]
    figures: dict[str, Any]
    context: Context

    @property
    def has_failed(self) -> bool:
        return "error" in self.figures

    def is_failure_of(self, context: Context) -> bool:
        """Whether it failed in that very call."""
        return self.has_failed and self.context.call == context.call

    def is_of(self, part: str, case: Case, context: Context) -> bool:
        """Whether it is what would be measured again: same card, same commit."""
        return (self.part, self.case) == (part, dict(case)) and _place(self.context) == _place(
            context
        )


class Rows:
    """Those of a file, to which new ones are added."""

    def __init__(
        self,
        path: Path,
        context: Context,
        deadline: float = math.inf,
        again: bool = False,
        out: TextIO = sys.stdout,
    ) -> None:
        """deadline  by time.time()
        again     measure what is there already too, unless this call did
        """
        self._path = path
        self._context = context
        self._deadline = deadline
        self._out = out
        known = read_rows(path) if path.exists() else []
        self._known = [x for x in known if not again or x.context.call == context.call]

    def missing(self, part: str, cases: Sequence[Case]) -> list[Case]:
        """Those that nobody has measured on this card and commit."""
        return [case for case in cases if not self._has(part, case)]

    def measure(self, part: str, case: Case, figures: Callable[[], Figures]) -> None:
        """Add a row unless there is one; what is raised becomes one too, to be tried again.

        Raises: TimeIsOver
        """
        if self._has(part, case):
            return
        if time.time() > self._deadline:
            raise TimeIsOver
        with self.errors_of(part, case):
            self.add(part, case, figures())

    @contextmanager
    def errors_of(self, part: str, case: Case) -> Iterator[None]:
        """What is raised in the block, as a row; the others go on."""
        try:
            yield
        except TimeIsOver:
            raise
        except Exception as error:
            self.add(part, case, {"error": f"{type(error).__name__}: {error}"[:LONGEST_ERROR]})

    def add(self, part: str, case: Case, figures: Figures) -> None:
        row = Row(part, dict(case), _finite(figures), self._context)
        self._known.append(row)
        described = {**row.case, **row.figures}
        words = " ".join(f"{key}={value}" for key, value in described.items())
        print(f"{part}: {words}", file=self._out, flush=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(asdict(row))}\n")

    def _has(self, part: str, case: Case) -> bool:
        return any(
            row.is_of(part, case, self._context) and not row.has_failed for row in self._known
        )


def read_rows(path: Path) -> list[Row]:
    """All of a file; the last line may be cut."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        rows.append(Row(**{**fields, "context": Context(**fields["context"])}))
    return rows


def _place(context: Context) -> tuple[str, str, bool]:
    return context.card, context.commit, context.fake


def _finite(figures: Figures) -> dict[str, Any]:
    """JSON has no numbers that are none; others have six digits."""
    return {
        key: (float(f"{value:.6g}") if math.isfinite(value) else None)
        if isinstance(value, float)
        else value
        for key, value in figures.items()
    }
