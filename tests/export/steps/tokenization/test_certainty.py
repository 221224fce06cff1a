"""Which tokens of a window are certain: to the token, and never one too many."""

import pytest
from tokenizers import Tokenizer, pre_tokenizers

from export.steps.tokenization.certainty import LONG_PIECE, Certainty
from export.steps.tokenization.edges import GUARD_CHARACTERS
from export.steps.tokenization.pieces import Piece, Window
from export.steps.tokenization.reading import Head, Tail
from export.steps.tokenization.subwords import subwords_of
from tests.export.steps.tokenization.kinds import (
    KINDS,
    blank_bpe,
    bpe_of,
    grouped_bpe,
    right_aligned_bpe,
    whole_ids,
    word_level,
    wordpiece,
)

PLAIN = bpe_of("a b", "c d", ". .")


def of(tokenizer: Tokenizer) -> Certainty:
    return Certainty(tokenizer, subwords_of(tokenizer))


def settled(tokenizer: Tokenizer, text: str, read: int) -> int:
    """First tokens that are certain of so much of a text; they are the whole text's."""
    head = Head(text.encode())
    head.grow(len(text[:read].encode()))
    window = Window(tokenizer, head.text)
    count = of(tokenizer).settled(window, head)
    assert whole_ids(tokenizer, text)[:count] == window.ids[:count]
    return count


def joined(tokenizer: Tokenizer, text: str, read: int, wanted: int = 1) -> int:
    """Last tokens that are certain of so much of a text; they are the whole text's."""
    tail = Tail(text.encode())
    tail.grow(len(text[-read:].encode()))
    window = Window(tokenizer, tail.text)
    count = of(tokenizer).joined(window, tail, wanted)
    ids = whole_ids(tokenizer, text)
    assert ids[len(ids) - count :] == window.ids[len(window) - count :]
    return count


WORDS = "ab cd " * 100  # a blank and two letters: each word is two tokens but the first


@pytest.mark.parametrize("read", range(100, 112))
def test_pieces_that_begin_a_guard_before_the_end_are_settled(read: int) -> None:
    """The next piece, which begins there or before, is not."""
    starts = [0, *range(2, read, 3)]
    sure = [start for start in starts if start <= read - GUARD_CHARACTERS]

    assert len(whole_ids(PLAIN, WORDS[: sure[-1]])) == settled(PLAIN, WORDS, read)


def test_all_of_a_whole_text_is_settled_and_joined() -> None:
    assert len(whole_ids(PLAIN, WORDS)) == settled(PLAIN, WORDS, 600) == joined(PLAIN, WORDS, 600)


def test_nothing_of_less_than_a_guard_is_settled() -> None:
    assert 0 == settled(PLAIN, WORDS, GUARD_CHARACTERS - 1)
    assert 0 == settled(wordpiece(), " " * 300, 200)
    assert 0 == joined(PLAIN, WORDS, GUARD_CHARACTERS - 1)


@pytest.mark.parametrize("read", range(200, 206))
def test_pieces_that_begin_a_guard_after_the_beginning_are_joined(read: int) -> None:
    text = WORDS[-read:]
    starts = [start for start in range(read) if text[start] == " "]
    first = min(start for start in starts if start >= GUARD_CHARACTERS)

    assert len(whole_ids(PLAIN, text[first:])) == joined(PLAIN, WORDS, read)


def test_groups_that_depend_on_where_a_window_begins_are_not_joined() -> None:
    tokenizer = grouped_bpe()
    digits = "1234567890" * 100

    assert 0 == joined(tokenizer, digits, 500)
    after = joined(tokenizer, f"{digits} ab cd" + " ab cd" * 10, 300)
    assert len(whole_ids(tokenizer, " ab cd" * 11)) == after


def test_rows_of_added_tokens_are_not_joined_either() -> None:
    tokenizer = blank_bpe()

    assert len(whole_ids(tokenizer, "ab")) == joined(tokenizer, " " * 1000 + "ab", 500)


def test_a_long_piece_is_settled_and_joined_within() -> None:
    text = "ab" * 1000

    assert settled(PLAIN, text, 500) > 200
    assert joined(PLAIN, text, 1200) > 400
    assert settled(PLAIN, f"{text} ab", 500) > 200
    assert joined(PLAIN, f"ab {text}", 1200) > 400


@pytest.mark.parametrize("kind", KINDS)
def test_what_follows_a_long_piece_is_joined_without_it(kind: str) -> None:
    """Where that is enough, and far more than enough."""
    tokenizer = KINDS[kind]()
    words = " the" * 100
    text = "ab" * 2000 + words
    after = len(whole_ids(tokenizer, words)) - 1  # the first of them may be the one that is tried

    if kind != "one-piece-bpe":
        assert after <= joined(tokenizer, text, 3000, wanted=after)
        assert after <= joined(tokenizer, text, 3000, wanted=1)


class Asked:
    """In place of what is known of a model: only this tells what it is asked."""

    def __init__(self) -> None:
        self.pieces: list[tuple[str, int]] = []  # what may be joined, and tokens that are wanted

    def settled(self, piece: Piece) -> int:
        return 0

    def joined(self, piece: Piece, position: int, wanted: int) -> int:
        self.pieces.append((piece.text[position:], wanted))
        return 5


def test_of_a_long_piece_what_begins_a_guard_after_the_beginning_may_be_joined() -> None:
    asked, after = Asked(), " cd cd"  # four tokens
    text = "x" + "c" * 3000 + after
    tail = Tail(text.encode())
    tail.grow(3000 + len(after))

    found = Certainty(PLAIN, asked).joined(Window(PLAIN, tail.text), tail, 10)

    assert [("c" * (3000 - GUARD_CHARACTERS), 10 - 4)] == asked.pieces
    assert 5 + 4 == found


def test_a_model_of_which_nothing_is_known_has_whole_pieces_only() -> None:
    tokenizer = word_level()

    assert 0 == settled(tokenizer, "a" * 1000, 500)
    assert 0 == joined(tokenizer, "a" * 1000, 500)
    assert 2 == settled(tokenizer, "the dog " + "a" * 1000, 500)
    assert 2 == joined(tokenizer, "a" * 1000 + " the dog", 500)


def test_a_piece_whose_end_depends_on_where_it_began_is_not_joined() -> None:
    """Pieces of 600 characters each, counted from the beginning of the text."""
    tokenizer = bpe_of("a b")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.FixedLength(600), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    text = "ab" * 2000

    assert 0 == joined(tokenizer, text, 1501)
    assert joined(tokenizer, text[:2101], 501) > 0


def test_blanks_that_may_go_on_are_settled_as_far_as_they_are_one_piece() -> None:
    """Up to the last end of a line; what is seen of it is its beginning."""
    tokenizer = grouped_bpe()
    text = "ab" + " \n" * 1000

    assert settled(tokenizer, text, 600) > 50
    assert settled(tokenizer, f"{text}cd", 600) > 50


def test_tokens_in_the_middle_are_held_by_either_side() -> None:
    certainty = of(PLAIN)
    head, tail = Head(WORDS.encode()), Tail(WORDS.encode())
    for end in (head, tail):
        end.grow(300)
    front, back = Window(PLAIN, head.text), Window(PLAIN, tail.text)
    settled_, joined_ = certainty.settled(front, head), certainty.joined(back, tail, 1)
    first = len(back) - joined_

    assert certainty.holds(front, head, range(3, settled_))
    assert not certainty.holds(front, head, range(3, settled_ + 1))
    assert certainty.holds(back, tail, range(first, len(back)))
    assert not certainty.holds(back, tail, range(first - 1, len(back)))


@pytest.mark.parametrize(("character", "start"), [(-7, 0), (0, 0), (1, 0), (2, 2), (4, 2), (5, 5)])
def test_a_window_may_begin_again_with_a_piece(character: int, start: int) -> None:
    assert start == of(PLAIN).restart(Window(PLAIN, "ab cd ab"), character)


def test_in_a_long_piece_it_may_with_a_token() -> None:
    window = Window(PLAIN, "cd " + "ab" * 600)

    assert 3 + LONG_PIECE == of(PLAIN).restart(window, 3 + LONG_PIECE)
    assert 3 + LONG_PIECE == of(PLAIN).restart(window, 3 + LONG_PIECE + 1)
    assert 2 == of(PLAIN).restart(window, 2 + LONG_PIECE)
    assert 0 == of(word_level()).restart(Window(word_level(), "a" * 1200), 1000)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_that_is_served_is_possible(kind: str) -> None:
    assert of(KINDS[kind]()).is_possible


def test_pieces_that_depend_on_where_a_text_ends_are_not() -> None:
    assert not of(right_aligned_bpe()).is_possible
