"""Texts with one run of megabytes, most of it left out, against whole texts."""

import pytest
from tokenizers import Tokenizer

from export.steps.tokenization.certainty import Certainty
from export.steps.tokenization.folding import EDGE_CHARACTERS, Folding
from export.steps.tokenization.reading import Head, Tail
from export.steps.tokenization.subwords import Unigram, subwords_of
from tests.export.steps.tokenization.kinds import SCORES, run, scored_unigram, whole_ids

TOKENIZER = scored_unigram(SCORES)


def folding_of(tokenizer: Tokenizer) -> Folding:
    subwords = subwords_of(tokenizer)
    assert isinstance(subwords, Unigram)
    return Folding(tokenizer, Certainty(tokenizer, subwords), subwords.lattice)


FOLDING = folding_of(TOKENIZER)


def first(text: str, read: int, count: int = 300) -> list[int] | None:
    head = Head(text.encode())
    head.grow(read)
    ids = run(FOLDING.first(head, count))
    return None if ids is None else ids[:count]


def last(text: str, read: int, count: int = 300) -> list[int] | None:
    tail = Tail(text.encode())
    tail.grow(read)
    ids = run(FOLDING.last(tail, count))
    return None if ids is None else ids[-count:]


@pytest.mark.parametrize("copies", range(20_000, 20_004))
@pytest.mark.parametrize("unit", [".", "-", "ab", "-.", "…"])
@pytest.mark.parametrize(
    ("before", "after"),
    [("", ""), ("the ", ""), ("", " the"), ("the ab", "ba the"), ("the " * 50, " the" * 50)],
    ids=["alone", "last", "first", "within", "between"],
)
def test_a_run_is_gone_through(before: str, unit: str, copies: int, after: str) -> None:
    text = before + unit * copies + after
    ids = whole_ids(TOKENIZER, text)

    assert ids[:300] == first(text, len(before) + 3000)
    assert ids[-300:] == last(text, len(after) + 3000)


@pytest.mark.parametrize("read", range(3000, 3005))
def test_a_run_is_the_same_wherever_reading_ends_in_it(read: int) -> None:
    """The unit is then another one, and begins elsewhere than a token."""
    words = {"▁": -3.7, "▁b": -4.5, "b": -5.1, "read": -5.2, "bread": -6.3, "breadbread": -7.9}
    tokenizer = scored_unigram({"[UNK]": -14.0, **words})
    folding = folding_of(tokenizer)
    text = "bread" * 20_001
    head, tail = Head(text.encode()), Tail(text.encode())
    head.grow(read)
    tail.grow(read)
    ids = whole_ids(tokenizer, text)

    first, last = run(folding.first(head, 20_000)), run(folding.last(tail, 20_000))

    assert (first, last) == (ids, ids)


def test_a_run_of_megabytes_is() -> None:
    text = "the " + "." * 3_000_001 + " the"
    ids = whole_ids(TOKENIZER, text)

    assert ids[:300] == first(text, 3000)
    assert ids[-300:] == last(text, 3000)


@pytest.mark.parametrize(
    "text",
    [
        "the ba " * 3000,
        "." * 3000 + "ab" * 50_000,
        "." * 30_000 + "ab" + "-" * 40_000,
        "龘" * 20_000,
        "." * 30_000 + "龘" + "." * 40_000,
        "e\u0301" * 20_000,
        "\u0301\u0323" * 20_000,
    ],
    ids=["pieces", "ends-there", "goes-on", "unknown", "unknown-within", "marks", "sorted-marks"],
)
def test_what_is_no_such_run_is_left_to_others(text: str) -> None:
    assert first(text, 3000) is None


@pytest.mark.parametrize("read", [EDGE_CHARACTERS // 2, EDGE_CHARACTERS, 2 * EDGE_CHARACTERS])
def test_all_that_is_read_last_must_repeat_itself(read: int) -> None:
    """A text that was read a little beyond the beginning of the run only."""
    text = "the " * 400 + "." * 30_000
    expected = whole_ids(TOKENIZER, text)[:300] if read >= EDGE_CHARACTERS else None

    assert expected == first(text, 1600 + read)
    assert (whole_ids(TOKENIZER, text[::-1])[-300:] if expected else None) == last(
        text[::-1], 1600 + read
    )


@pytest.mark.parametrize(("period", "found"), [(64, True), (65, False)])
def test_periods_are_short(period: int, found: bool) -> None:
    unit = "." * (period - 1) + "a"

    assert found == (first(unit * 2000, 3000) is not None)


def test_the_piece_must_end_soon_after_the_run() -> None:
    assert first("." * 30_000 + "ab" * 10_000 + " the", 3000) is not None
    assert first("." * 30_000 + "ab" * 20_000 + " the", 3000) is None


def test_slices_may_take_long() -> None:
    head = Head(b"." * 100_000)
    head.grow(3000)

    assert [True] == list(FOLDING.first(head, 10))
