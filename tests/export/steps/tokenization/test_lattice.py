"""The best path of a Unigram model against tokenizers', and how far it can be trusted."""

import random

import pytest
from tokenizers import models

from export.steps.tokenization.lattice import DOUBT, Lattice

# fmt: off
SCORES = {
    "[UNK]": 0.0, "a": -3.0, "b": -3.3, "c": -4.1, "ab": -4.9, "abc": -6.6, "bc": -5.2, "ca": -5.7,
    "aa": -5.4, "cab": -7.05,
}
# fmt: on


def library_path(scores: dict[str, float], text: str) -> list[tuple[int, int]]:
    tokens = models.Unigram(list(scores.items()), 0, False).tokenize(text)
    return [token.offsets for token in tokens]


@pytest.mark.parametrize("seed", range(50))
def test_it_is_the_path_of_tokenizers(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - no secrets
    text = "".join(draw.choices("abcx", k=40))

    path, _ = Lattice(SCORES).best_path(text, 0)

    assert library_path(SCORES, text) == path


def test_it_begins_where_it_is_told_to() -> None:
    path, _ = Lattice(SCORES).best_path("cabcab", 2)

    assert library_path(SCORES, "bcab") == [(start - 2, end - 2) for start, end in path]


def test_unknown_characters_next_to_each_other_are_one_token() -> None:
    path, _ = Lattice(SCORES).best_path("axyzaxa", 0)

    assert [(0, 1), (1, 4), (4, 5), (5, 6), (6, 7)] == path


@pytest.mark.parametrize(("score", "tokens"), [(5.1, 3), (4.9, 1)])
def test_an_unknown_character_costs_ten_more_than_the_worst_token(
    score: float, tokens: int
) -> None:
    """a, unknown, a come to 2 * score - 8 - 10, axa to -8."""
    scores = {"[UNK]": 0.0, "a": score, "axa": -8.0}

    path, _ = Lattice(scores).best_path("axa", 0)

    assert tokens == len(path)
    assert library_path(scores, "axa") == path


def test_a_path_without_rival_is_beyond_doubt_from_its_beginning() -> None:
    _, doubt = Lattice({"a": -1.0, "b": -2.0}).best_path("abab", 1)

    assert 1 == doubt


def test_doubt_begins_at_the_last_of_two_equal_ways() -> None:
    scores = {"a": -2.0, "b": -3.0, "aa": -3.0}  # aaa is aa, a or a, aa

    _, doubt = Lattice(scores).best_path("baaab", 0)

    assert 4 == doubt


def test_a_way_off_the_path_raises_no_doubt() -> None:
    scores = {"a": -2.0, "aa": -3.0, "aaab": -1.0}

    path, doubt = Lattice(scores).best_path("aaab", 0)

    assert ([(0, 4)], 0) == (path, doubt)


@pytest.mark.parametrize(("lead", "doubt"), [(DOUBT * 1.01, 0), (DOUBT * 0.99, 2)])
def test_a_small_lead_is_none(lead: float, doubt: int) -> None:
    scores = {"a": -1.0, "aa": -2.0 + lead}

    assert doubt == Lattice(scores).best_path("aa", 0)[1]


def test_no_text_has_no_path() -> None:
    assert ([], 3) == Lattice(SCORES).best_path("abc", 3)
