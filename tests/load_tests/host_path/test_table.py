"""From costs to what people read."""

import pytest

from load_tests.host_path.rows import Bar, Row, chosen
from load_tests.host_path.table import (
    BEFORE,
    FLOOR,
    NOW,
    Cost,
    Costs,
    is_missed,
    judge,
    main_table,
    roles_table,
)

BULK = Row("bulk", 256, 4, bar=Bar(45))
FLOATS = Row("floats", 256, 4, encoding_format="float", bar=Bar(1.5, "bulk"))
LONE = Row("lone", 1, 1, bar=Bar(1, "before"))
COSTS = Costs(
    [
        Cost("bulk", BEFORE, 0, 9, {"gateway": 60.0, "tokenizer": 100.0, "client": 5.0}),
        Cost("bulk", BEFORE, 1, 9, {"gateway": 40.0, "tokenizer": 100.0, "client": 5.0}),
        Cost("bulk", NOW, 0, 9, {"gateway": 10.0, "tokenizer": 30.0, "client": 5.0}),
        Cost("bulk", NOW, 1, 9, {"gateway": 10.0, "tokenizer": 25.0, "client": 5.0}),
        Cost("bulk", FLOOR, 0, 9, {"floor": 8.0}),
        Cost("floats", NOW, 0, 9, {"gateway": 75.0}),
        Cost("lone", BEFORE, 0, 9, {"gateway": 200.0}),
        Cost("lone", NOW, 0, 9, {"gateway": 190.0}),
    ]
)


def test_a_total_leaves_the_client_out_and_is_a_median() -> None:
    assert COSTS.total("bulk", NOW) == 37.5
    assert COSTS.total("bulk", "nobody") is None


def test_a_ratio_is_that_of_pairs_of_one_round() -> None:
    assert COSTS.ratios("bulk", NOW, BEFORE) == [40 / 160, 35 / 140]
    assert COSTS.ratios("floats", NOW, BEFORE) == []


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (BULK, "≤ 45: yes"),
        (FLOATS, "≤ 1.5 x bulk: **no**"),
        (LONE, "≤ 1 x before: yes"),
        (Row("lone", 1, 1, bar=Bar(2, "absent")), "≤ 2 x absent: not measured"),
        (Row("lone", 1, 1), ""),
    ],
)
def test_a_bar_is_kept_or_not(row: Row, verdict: str) -> None:
    assert judge(row, COSTS) == verdict
    assert is_missed(row, COSTS) == ("no**" in verdict)


def test_the_table_has_a_line_a_row() -> None:
    lines = main_table([BULK, LONE], COSTS).splitlines()
    assert lines[2] == (
        "| `bulk` | 256 x 65 tokens, 4 callers | base64 | 150 | 37.5 (35.0 to 40.0)"
        " | 0.25 (0.25 to 0.25) | ≤ 45: yes | 8.0 |"
    )
    assert lines[3].endswith("| ≤ 1 x before: yes | - |")


def test_what_each_process_takes_includes_the_client() -> None:
    (_, _, before, now) = roles_table([BULK], COSTS).splitlines()
    assert before == "| `bulk` | before | 50.0 | 0.0 | 100 | 0.0 | 0.0 | 5.0 |"
    assert now == "| `bulk` | now | 10.0 | 0.0 | 27.5 | 0.0 | 0.0 | 5.0 |"


def test_rows_are_chosen_by_patterns() -> None:
    assert [row.key for row in chosen(["single-12-*", "bulk-65"])][:2] == ["bulk-65", "single-12-1"]
    assert len(chosen([])) > 20
    with pytest.raises(ValueError, match="no row matches 'nonsense'; there are bulk-12 bulk-65"):
        chosen(["nonsense"])
