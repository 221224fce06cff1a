"""What may be left out of a text, tried on tokenizers that take it differently."""

import pytest
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers

from export.steps.tokenization.omissions import Omissions
from export.steps.tokenization.pieces import Window
from export.steps.tokenization.reading import Head
from tests.export.steps.tokenization.kinds import (
    Counting,
    bpe_of,
    byte_bpe,
    collapsing_unigram,
    grouped_bpe,
    run,
    unigram,
    word_level,
    wordpiece,
)

LONG = "abcdefghij" * 30


@pytest.mark.parametrize(
    ("before", "middle", "after"),
    [
        ("one   ", " \n\t " * 50, "  two"),
        ("one ", "\x00\u200d" * 50, " two"),
        ("e\u0301", "\u0301\u0323" * 50, "\u0301 two"),
        (f"one {LONG}", LONG, f"{LONG} two"),
        (f"one {LONG}", "éüß" * 100, f"{LONG} two"),
        ("one", "", "two"),
    ],
    ids=["blanks", "controls", "marks", "word", "other-word", "nothing"],
)
def test_what_gives_no_tokens_is_inert(before: str, middle: str, after: str) -> None:
    assert Omissions(wordpiece()).inert(before, middle, after) == 0


@pytest.mark.parametrize(
    ("before", "middle", "after"),
    [
        ("one ", "...", " two"),
        ("one ", "[SEP]", " two"),
        ("one", " ", "two"),
        ("one ", LONG, " two"),
        ("a" * 90, "a" * 20, " two"),
        ("." + "a" * 100, "a" * 20, " two"),
    ],
    ids=["dots", "added", "one-blank", "whole-word", "becoming-long", "one-short"],
)
def test_what_changes_the_tokens_is_not(before: str, middle: str, after: str) -> None:
    assert Omissions(wordpiece()).inert(before, middle, after) is None


def test_the_inside_of_a_long_word_is_inert_once_it_is_too_long_without_it() -> None:
    """Words of more than 100 characters are unknown to WordPiece."""
    omissions = Omissions(wordpiece())

    assert omissions.inert("a" * 101, "a" * 5, "") == 0
    assert omissions.inert("a" * 100, "a" * 5, "") is None


def test_the_inside_of_a_long_word_is_not_even_looked_at() -> None:
    counting = Counting(wordpiece())
    omissions = Omissions(counting)  # type: ignore[arg-type]
    counting.characters = 0

    assert omissions.inert("a" * 200, "b" * 5000, "c" * 200) == 0
    assert counting.characters == 0


@pytest.mark.parametrize(
    ("tokenizer", "count"),
    [(byte_bpe(), 300), (grouped_bpe(), 300), (unigram(), 300)],
    ids=["bpe", "groups", "unigram"],
)
def test_letters_that_have_tokens_are_not_inert(tokenizer: Tokenizer, count: int) -> None:
    assert Omissions(tokenizer).inert("ab" * count, "ab" * count, "ab" * count) is None


def test_an_added_token_of_letters_could_stand_in_a_long_word() -> None:
    tokenizer = wordpiece()
    tokenizer.add_tokens([AddedToken("hello")])

    assert Omissions(tokenizer).inert("a" * 200, "a" * 50 + "hello" + "a" * 50, "a" * 200) is None
    assert Omissions(tokenizer).inert("a" * 200, "a" * 100, "a" * 200) == 0


def test_words_of_a_model_that_knows_no_longest_are_tried() -> None:
    omissions = Omissions(word_level())

    assert omissions.inert("a" * 200, "b" * 100, "c" * 200) == 0
    assert omissions.inert("a" * 200, " " + "b" * 100, "c" * 200) is None


DOTS = bpe_of(". .", ".. ..", "x x")


@pytest.mark.parametrize(
    ("middle", "tokens"),
    [("." * 24, 6), ("." * 4, 1), ("", 0), ("." * 3, None), ("x" * 4, 2), ("x..", None)],
)
def test_repetitions_of_tokens_add_as_many(middle: str, tokens: int | None) -> None:
    assert tokens == Omissions(DOTS).removable("." * 40, middle, "." * 42)


def test_a_middle_with_which_the_rest_is_shorter_stays() -> None:
    tokenizer = wordpiece()

    assert Omissions(tokenizer).removable("a" * 60 + " ", "", "") == 0
    assert Omissions(tokenizer).removable("ab" * 40, "ab" * 40, " the") is None


@pytest.mark.parametrize(
    ("before", "after"),
    [("\n" * 300, "\n" * 300), ("the\n", " " * 300), ("\n", "\n")],
)
def test_blanks_that_would_be_an_end_may_not_be_one(before: str, after: str) -> None:
    """They are taken away at the end of a text, and tokens where it goes on."""
    middle, tokenizer = "\n" * 200, collapsing_unigram()
    assert len(tokenizer.encode(f"{before}{middle}the").ids) > 190

    assert Omissions(tokenizer).inert(before, middle, after) is None
    assert Omissions(wordpiece()).inert(before, middle, after) == 0


def test_blanks_at_the_beginning_may_not_be_one_either() -> None:
    middle, tokenizer = "\n" * 200, unigram()
    tokenizer.normalizer = normalizers.Strip(left=True, right=False)

    assert Omissions(tokenizer).inert("\n" * 300, middle, "the") is None
    assert Omissions(tokenizer).removable("a" + "\n" * 300, middle, "the") == 200


def test_marks_that_are_sorted_come_from_elsewhere() -> None:
    """Two kinds one after the other are all of one kind and all of the other."""
    both = "\u0301\u0323" * 100
    tokens = len(byte_bpe().encode(both).ids)

    assert Omissions(grouped_bpe()).removable(f"a{both}", both, both) is None
    assert Omissions(grouped_bpe()).removable(*["e\u0301" * 40] * 3) is None
    assert Omissions(byte_bpe()).removable(f"a{both}", both, both) == tokens
    assert Omissions(wordpiece()).removable(f"a{both}", both, both) == 0


def gapped(tokenizer: Tokenizer, after: str) -> tuple[Window, Head]:
    head = Head(f"the {'龘' * 2000}{after}".encode())
    head.grow(1000)
    run(head.skip(lambda before, middle, after: 0, 600))
    head.grow(10_000)
    return Window(tokenizer, head.text), head


@pytest.mark.parametrize(
    ("after", "bears"), [("", True), (" bread", True), ("bread", False), (". bread", False)]
)
def test_a_gap_in_a_piece_must_be_in_its_last_token(after: str, bears: bool) -> None:
    """What follows in the piece would be chosen by other sums."""
    tokenizer = unigram()
    window, head = gapped(tokenizer, after)

    assert head.gaps
    assert bears == Omissions(tokenizer).bears_gaps(window, head)


def test_a_gap_in_the_first_token_is_in_a_piece_too() -> None:
    tokenizer = unigram()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    head = Head(f"{'龘' * 2000}bread".encode())
    head.grow(1000)
    run(head.skip(lambda before, middle, after: 0, 600))
    head.grow(10_000)

    assert not Omissions(tokenizer).bears_gaps(Window(tokenizer, head.text), head)


def test_models_that_add_nothing_up_bear_every_gap() -> None:
    tokenizer = byte_bpe()

    assert Omissions(tokenizer).forgets
    assert not Omissions(unigram()).forgets
    assert Omissions(tokenizer).bears_gaps(*gapped(tokenizer, "bread"))


def test_a_gap_between_tokens_is_borne() -> None:
    tokenizer = collapsing_unigram()
    head = Head(b"the" + b" " * 5000 + b"bread")
    head.grow(1000)
    run(head.skip(lambda before, middle, after: 0, 600))
    head.grow(10_000)

    assert Omissions(tokenizer).bears_gaps(Window(tokenizer, head.text), head)
