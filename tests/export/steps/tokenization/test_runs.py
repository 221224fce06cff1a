"""Paths through long runs against tokenizers itself, to the last token."""

import random

import pytest
from tokenizers import models

from export.steps.tokenization import runs
from export.steps.tokenization.lattice import Lattice
from export.steps.tokenization.runs import Path, Run

DOTS = {"[UNK]": -12.0, ".": -3.2530225192024087, "...": -9.381084944756477, "x": -4.0, "x.": -5.5}
MIXED = {
    "[UNK]": -13.0, "a": -4.25137, "b": -4.7331, "ab": -6.113, "ba": -6.29, "aba": -9.0177,
    "abab": -11.0007, "-": -5.5, "--": -7.3131, "-----": -9.00091, "-------": -10.0101, "x": -3.0,
}  # fmt: skip


def tokens_of(scores: dict[str, float], text: str) -> list[str]:
    model = models.Unigram(list(scores.items()), 0, False)
    return [token.value for token in model.tokenize(text)]


def run_of(scores: dict[str, float], before: str, unit: str, copies: int, after: str) -> Run:
    run = Run(Lattice(scores))
    run.add(before)
    assert run.repeat(unit, copies)
    run.add(after)
    return run


@pytest.mark.parametrize("copies", [0, 1, 2, 3, 100, 1000, 1001, 1002, 30_000, 100_001])
@pytest.mark.parametrize(("before", "after"), [("", ""), ("x", "x"), ("..", "x..")])
def test_dots_are_cut_as_tokenizers_does(before: str, after: str, copies: int) -> None:
    """Threes and a rest, which stands where the rounding of a sum lets it."""
    path = run_of(DOTS, before, ".", copies, after).path()

    expected = tokens_of(DOTS, before + "." * copies + after)
    assert expected == path.first(10**6)
    assert expected == path.last(10**6)


@pytest.mark.parametrize("seed", range(60))
def test_other_runs_are_too(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - no secrets
    before, after = ("".join(draw.choices("ab-x", k=draw.randint(0, 30))) for _ in range(2))
    unit = draw.choice(["a", "-", "ab", "ba", "aab", "--a", "ab-", "x"])
    copies = draw.choice([10, 100, 1000, 5000, draw.randint(1, 30_000)])

    path = run_of(MIXED, before, unit, copies, after).path()

    assert tokens_of(MIXED, before + unit * copies + after) == path.first(10**6)


def test_two_runs_may_follow_each_other() -> None:
    run = run_of(MIXED, "x", "ab", 20_000, "x")
    assert run.repeat("-", 30_001)
    run.add("ab")

    expected = tokens_of(MIXED, "x" + "ab" * 20_000 + "x" + "-" * 30_001 + "ab")
    assert expected == run.path().first(10**6)


def test_a_score_that_ends_in_half_a_bit_is_rounded_by_what_it_is_added_to() -> None:
    scores = {"[UNK]": -9.0, "a": -(1 + 2.0**-45), "aa": -(2 + 2.0**-44 + 2.0**-46)}

    path = run_of(scores, "", "a", 9001, "").path()

    assert tokens_of(scores, "a" * 9001) == path.first(10**6)


@pytest.mark.parametrize("scores", [{"a": 1.0, "aa": 2.5}, {"a": 0.0, "aa": 0.0}])
def test_scores_that_are_no_logarithms_are_added_up_all_the_same(scores: dict[str, float]) -> None:
    path = run_of({"[UNK]": -9.0, **scores}, "", "a", 3001, "").path()

    assert tokens_of({"[UNK]": -9.0, **scores}, "a" * 3001) == path.first(10**6)


def test_a_run_is_not_gone_through_step_by_step() -> None:
    """Some hundred columns for each power of two of the sum."""
    run = Run(Lattice(DOTS))

    assert run.repeat(".", 10**12)

    assert len(run._sums) < 20_000
    assert ["..."] * 300 == run.path().last(300)


def test_a_run_that_has_to_be_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # Patched because the number of columns makes the test slow.
    monkeypatch.setattr(runs, "MAX_COLUMNS", 500)

    assert not Run(Lattice({"a": 0.0})).repeat("a", 501)
    assert Run(Lattice({"a": 0.0})).repeat("a", 500)
    assert Run(Lattice({"a": -1.0})).repeat("a", 10**6)


def test_rows_come_as_often_as_they_should() -> None:
    path = Path([(["e"], 1), (["d", "c"], 2), (["b", "a"], 1)])

    assert ["a", "b", "c", "d", "c", "d", "e"] == path.first(99) == path.last(99)
    assert ["a", "b", "c"] == path.first(3)
    assert ["c", "d", "e"] == path.last(3)
    assert [] == path.first(0) == path.last(0)


def test_nothing_has_an_empty_path() -> None:
    assert [] == Run(Lattice(DOTS)).path().first(5)
