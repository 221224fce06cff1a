"""The report: rates and percentiles from calls, limits, plots, one page."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from load_tests import report
from load_tests.scenarios import Record


def calls(
    scenario: str, users: int, rate: float, seconds: float = 12.0, milliseconds: float = 20.0
) -> list[Record]:
    """Calls answered at an even rate."""
    count = round(seconds * rate)
    return [Record(scenario, users, number / rate, milliseconds, False) for number in range(count)]


def write(records: Sequence[Record], folder: Path) -> None:
    rows = [Record.__slots__, *(tuple(getattr(r, n) for n in Record.__slots__) for r in records)]
    lines = [",".join(str(int(v) if isinstance(v, bool) else v) for v in row) for row in rows]
    (folder / "records.csv").write_text("\n".join(lines) + "\n")


def test_a_paced_scenario_reaches_what_was_asked() -> None:
    (step,) = report.summarize(calls("interactive", users=4, rate=8.0))
    assert step.asked_calls_per_second == 8.0
    assert step.reached_calls_per_second == pytest.approx(8.0, rel=0.03)
    assert not step.saturated


def test_below_95_percent_of_the_rate_it_is_saturated() -> None:
    (step,) = report.summarize(calls("interactive", users=4, rate=7.0))
    assert step.saturated


def test_a_scenario_without_pace_is_never_saturated() -> None:
    (step,) = report.summarize(calls("bulk", users=1, rate=0.5))
    assert (step.asked_calls_per_second, step.saturated) == (None, False)


def test_throughput_counts_the_texts_of_a_call() -> None:
    (step,) = report.summarize(calls("bulk", users=1, rate=2.0))
    assert step.texts_per_second == pytest.approx(128, rel=0.06)


def test_every_number_of_users_is_a_step_of_its_own() -> None:
    records = [*calls("interactive", 4, 8.0), *calls("interactive", 8, 16.0)]
    assert [step.users for step in report.summarize(records)] == [4, 8]


def test_what_settles_is_left_out() -> None:
    slow = [Record("interactive", 4, number / 8, 900.0, False) for number in range(15)]
    fast = [Record("interactive", 4, 2 + number / 8, 20.0, False) for number in range(80)]
    (step,) = report.summarize([*slow, *fast])
    assert step.p99 == 20.0


@pytest.mark.parametrize(
    ("records", "complaint"),
    [
        (calls("interactive", 4, 8.0, milliseconds=501.0), "p99 501 ms, the limit is 500"),
        (calls("interactive", 4, 4.0), "saturated, 51% of the rate asked for"),
        ([Record("bulk", 1, second, 9.0, True) for second in range(9)], "7 of 7 calls failed"),
    ],
    ids=["slow", "saturated", "failed"],
)
def test_a_passed_limit_is_named(records: list[Record], complaint: str) -> None:
    complaints = report.judge(report.summarize(records))
    assert any(complaint in line for line in complaints)


def test_the_page_holds_table_and_plots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write([*calls("interactive", 4, 8.0), *calls("interactive", 8, 16.0)], tmp_path)
    assert report.main([str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "asked/s" in page
    assert "interactive" in capsys.readouterr().out


def test_a_passed_limit_sets_the_exit_code(tmp_path: Path) -> None:
    write(calls("interactive", 4, 4.0), tmp_path)
    assert report.main([str(tmp_path)]) == 1


def test_no_calls_is_a_failure(tmp_path: Path) -> None:
    write([], tmp_path)
    assert report.main([str(tmp_path)]) == 1
