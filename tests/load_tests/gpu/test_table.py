"""The section of the documentation, from rows."""

from typing import Any

from load_tests.gpu.rows import Context, Row
from load_tests.gpu.table import section

FIRST = Context("a card", "580.1", "abc", "20261126-120000", versions={"torch": "2.11"})
SECOND = Context("a card", "580.1", "abc", "20261126-130000")
CASE = {"shape": "base", "form": "packed", "tokens": 16_384, "mix": "128", "workers": 2}
ENGINE = {"tokens_per_s": 2_000_000.0, "ms": 8.2, "tflops": 340.0}
HALF = {**ENGINE, "tokens_per_s": 1_000_000.0}


def roof(tflops: float, context: Context, size: int = 8192) -> Row:
    return Row("roof", {"what": "product", "size": size}, {"tflops": tflops}, context)


def peer(name: str, rate: float, context: Context) -> Row:
    case = {"shape": "base", "peer": name, "mix": "128"}
    return Row("peers", case, {"tokens_per_s": rate}, context)


def lines(*rows: Row, beginning: str) -> list[list[str]]:
    """The cells of those lines of the section that begin so."""
    found = [line for line in section(rows).splitlines() if line.startswith(f"| {beginning} |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found]


def engine(figures: dict[str, Any], context: Context = FIRST) -> Row:
    return Row("engine", CASE, figures, context)


def test_expected_stands_beside_measured() -> None:
    (cells,) = lines(engine(ENGINE), beginning="base")
    assert cells[5:] == ["2 M", "8.2", "340", "-", "2.1 M"]


def test_the_share_is_of_the_largest_product_of_the_same_call() -> None:
    roofs = (roof(680.0, FIRST), roof(500.0, FIRST, size=4096), roof(170.0, SECOND))
    (cells,) = lines(*roofs, engine(ENGINE), beginning="base")
    assert cells[8] == "50 %"


def test_the_latest_row_of_a_case_counts_but_no_error_does() -> None:
    failed = engine({"error": "RuntimeError: lost"}, SECOND)
    assert [
        cells[5] for cells in lines(engine(ENGINE), engine(HALF), failed, beginning="base")
    ] == ["1 M"]


def test_an_error_is_told_where_there_is_nothing_else() -> None:
    (cells,) = lines(engine({"error": "RuntimeError: a | b"}), beginning="base")
    assert cells[5] == "RuntimeError: a / b"
    assert len(cells) == 10


def test_peers_are_compared_with_ours_and_another_call_is_named() -> None:
    rows = (
        peer("ours, formula", 2e6, FIRST),
        peer("torch eager, varlen, 16k", 1e6, FIRST),
        peer("padded ONNX, 32", 5e5, SECOND),
    )
    ratios = [cells[4] for cells in lines(*rows, beginning="base")]
    assert ratios == ["1.00", "0.50", "0.25, another call"]


def test_cards_and_commits_have_sections_of_their_own() -> None:
    other = Context("another", "", "abc", "20261127-120000", fake=True)
    told = section([engine(ENGINE), engine(ENGINE, other)])
    headings = [line for line in told.splitlines() if line.startswith("## ")]
    assert headings == [
        "## 2026-11-26, a card, commit abc",
        "## 2026-11-27, another, commit abc",
    ]
    assert told.count("the figures mean nothing") == 1
    assert "driver 580.1, torch 2.11." in told
