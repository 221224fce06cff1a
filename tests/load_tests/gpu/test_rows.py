"""A row is kept at once and measured once: on one card, at one commit."""

import io
import time
from dataclasses import replace
from pathlib import Path

import pytest

from load_tests.gpu.rows import Context, Rows, TimeIsOver, read_rows

CONTEXT = Context("a card", "580.1", "abc", "20261126-120000")
CASE = {"shape": "base", "tokens": 4096}


class Measured:
    """Counts how often it was."""

    def __init__(self, *figures: float | Exception) -> None:
        self.figures = list(figures)
        self.times = 0

    def __call__(self) -> dict[str, float]:
        self.times += 1
        figure = self.figures.pop(0)
        if isinstance(figure, Exception):
            raise figure
        return {"ms": figure}


def rows(path: Path, context: Context = CONTEXT, **settings: float | bool) -> Rows:
    return Rows(path, context, out=io.StringIO(), **settings)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def test_a_later_call_measures_what_is_missing(path: Path) -> None:
    measured = Measured(1.0, 2.0)
    rows(path).measure("engine", CASE, measured)
    later = rows(path, replace(CONTEXT, call="20261126-130000"))
    later.measure("engine", CASE, measured)
    later.measure("engine", {**CASE, "tokens": 8192}, measured)
    assert measured.times == 2
    assert [1.0, 2.0] == [row.figures["ms"] for row in read_rows(path)]


@pytest.mark.parametrize("other", [{"card": "another"}, {"commit": "def"}, {"fake": True}])
def test_another_card_or_commit_is_another_row(path: Path, other: dict[str, str]) -> None:
    rows(path).measure("engine", CASE, Measured(1.0))
    missing = rows(path, replace(CONTEXT, **other)).missing("engine", [CASE])  # type: ignore[arg-type]
    assert missing == [CASE]


def test_what_failed_is_kept_and_tried_again(path: Path) -> None:
    measured = Measured(RuntimeError("no memory"), 2.0)
    rows(path).measure("engine", CASE, measured)
    rows(path).measure("engine", CASE, measured)
    first, second = read_rows(path)
    assert first.figures == {"error": "RuntimeError: no memory"}
    assert second.figures == {"ms": 2.0}


def test_again_measures_all_of_earlier_calls(path: Path) -> None:
    measured = Measured(1.0, 2.0)
    rows(path).measure("engine", CASE, measured)
    again = rows(path, replace(CONTEXT, call="20261126-130000"), again=True)
    again.measure("engine", CASE, measured)
    again.measure("engine", CASE, measured)
    assert measured.times == 2


def test_no_row_is_begun_after_the_deadline(path: Path) -> None:
    late = rows(path, deadline=time.time() - 1)
    with pytest.raises(TimeIsOver):
        late.measure("engine", CASE, Measured(1.0))
    assert not path.exists()


def test_a_line_that_was_cut_is_no_row(path: Path) -> None:
    rows(path).measure("engine", CASE, Measured(1.0))
    whole = path.read_text()
    path.write_text(whole + whole[: len(whole) // 2])
    assert len(read_rows(path)) == 1


def test_numbers_that_are_none_are_null(path: Path) -> None:
    rows(path).measure("engine", CASE, Measured(float("nan")))
    assert read_rows(path)[0].figures == {"ms": None}


def test_a_row_is_printed(path: Path) -> None:
    out = io.StringIO()
    Rows(path, CONTEXT, out=out).measure("engine", CASE, Measured(1.23456789))
    assert out.getvalue() == "engine: shape=base tokens=4096 ms=1.23457\n"
