"""The tables of the benchmark, on figures that can be checked by hand."""

import numpy as np
import pytest

from load_tests.bench.tables import (
    Measurement,
    fair_lines,
    figures_table,
    kept_lines,
    ratios_table,
)
from load_tests.bench.workloads import Call, Figures, summarize
from load_tests.record import MARKER, insert


def figures(rate: float, group: str = "bulk") -> Figures:
    return Figures(group, 100, 6000, 0, rate, 60 * rate, 1000 / rate, 1100 / rate, 1200 / rate)


def run(server: str, rate: float, number: int, workload: str = "bulk") -> Measurement:
    return Measurement(server, workload, number, 10.0, (figures(rate),), 5.0, 0.1, 0.0, 512.0)


RUNS = [
    *(run("ours fp32", rate, number) for number, rate in enumerate((200.0, 240.0, 300.0))),
    *(run("peer", 100.0, number) for number in range(3)),
]


def test_rows_show_the_median_over_rounds() -> None:
    row = figures_table(RUNS).splitlines()[2]
    assert row.startswith("| bulk | ours fp32 | 240.0 | 14 400 |")
    assert row.endswith("| 50.0 | 0.50 | 512 |")


def test_ratios_come_from_pairs_of_a_round() -> None:
    assert "| bulk | peer | 2.40 (2.00 to 3.00) |" in ratios_table(RUNS, "ours fp32")


def test_the_rows_of_a_workload_stand_together() -> None:
    runs = [*RUNS, run("ours fp32", 9.0, 0, "long"), run("third", 90.0, 0)]
    names = [row.split(" | ")[0] for row in figures_table(runs).splitlines()[2:]]
    assert names == ["| bulk", "| bulk", "| bulk", "| long"]


def test_bulk_beside_queries_is_compared_with_bulk_alone() -> None:
    runs = [*RUNS, *(run("ours fp32", rate, n, "mixed") for n, rate in enumerate((150, 180, 225)))]
    assert kept_lines(runs) == ["ours fp32, mixed: bulk keeps 75% (75% to 75%) of its own rate."]


def test_callers_of_unequal_call_size_are_compared() -> None:
    groups = (figures(90.0, "large"), figures(100.0, "small"))
    runs = [Measurement("ours", "unequal", 0, 10.0, groups, 5.0, 0.1, 0.0, 512.0)]
    (line,) = fair_lines(runs)
    assert line == "ours: large gets 0.90 (0.90 to 0.90) times the tokens/s of small."


def test_the_rate_counts_until_the_last_answer() -> None:
    calls = [Call("bulk", 0.0, 2.0, ["a", "b"], False), Call("bulk", 2.0, 4.0, ["c", "d"], False)]
    found = summarize("bulk", calls, [10, 10])
    assert (found.texts_per_second, found.tokens_per_second) == (1.0, 5.0)
    assert found.p50_milliseconds == pytest.approx(2000)


def test_failed_calls_are_no_throughput() -> None:
    calls = [Call("bulk", 0.0, 2.0, ["a"], True), Call("query", 0.0, 1.0, ["b"], False)]
    found = summarize("bulk", calls, [])
    assert (found.texts, found.failures, found.texts_per_second) == (0, 1, 0.0)
    assert np.isnan(found.p50_milliseconds)


def test_a_new_section_comes_first_and_old_ones_stay() -> None:
    document = f"# Title\n\n{MARKER}\n\n## old\n\ntext\n"
    assert insert(document, "## new\n\nrow\n") == (
        f"# Title\n\n{MARKER}\n\n## new\n\nrow\n\n## old\n\ntext\n"
    )


def test_a_document_without_the_mark_is_refused() -> None:
    with pytest.raises(ValueError, match="no line"):
        insert("# Title\n", "## new\n")
