"""How far the unread part of a text reaches, by what the tokenizer does with it."""

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers

from export.steps.tokenization.edges import GUARD_CHARACTERS, Edges, is_stable
from export.steps.tokenization.reading import Head, Tail
from tests.export.steps.tokenization.kinds import (
    bpe_of,
    grouped_bpe,
    one_piece_bpe,
    right_aligned_bpe,
    unigram,
    wordpiece,
)


def head(text: str, read: int) -> Head:
    """The front of a text, of which so many characters are read."""
    reader = Head(text.encode())
    reader.grow(len(text[:read].encode()))
    return reader


def tail(text: str, read: int) -> Tail:
    """The back of a text, of which so many characters are read."""
    reader = Tail(text.encode())
    reader.grow(len(text[-read:].encode()))
    return reader


def sorting() -> Tokenizer:
    """Brings marks into order and does nothing else that reaches far."""
    tokenizer = bpe_of(". .")
    tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def swallowing(**options: bool) -> Tokenizer:
    tokenizer = bpe_of(". .")
    tokenizer.add_special_tokens([AddedToken("<mask>", **options)])
    return tokenizer


@pytest.mark.parametrize(
    ("text", "sure"),
    [
        ("bread and", 5),
        ("bread     and", 8),
        ("a\u0301\u0323\u0301", 2),
    ],
)
def test_without_anything_that_reaches_far_all_is_sure(text: str, sure: int) -> None:
    edges = Edges(bpe_of(". ."))

    assert sure == edges.sure_end(head(text, sure))
    assert 0 == edges.sure_begin(tail(text, sure))


@pytest.mark.parametrize(
    ("text", "read", "sure"),
    [
        ("bread", 3, 3),
        ("breé", 4, 4),
        ("bre\u0301\u0323ad", 4, 2),
        ("bre\u0301\u0323ad", 3, 2),
        ("bre\u0301\u0323ad", 5, 5),
        ("bre" + "\u0301" * 9 + "ad", 7, 7),
        ("bre" + "\u0301" * 9 + "\u0323ad", 7, 2),
        ("bre\u0323" + "\u0301" * 9 + "ad", 7, 2),
        ("bre" + "\u0301" * 9, 7, 7),
        ("\u0301\u0323\u0301", 2, 0),
        ("\u0301\u0301\u0301", 2, 2),
        ("bre\u0378\u0323", 4, 2),
        ("br\u0130" + "\u0323" * 9, 7, 2),
    ],
)
def test_marks_that_are_sorted_are_sure_from_their_base_on(text: str, read: int, sure: int) -> None:
    """But where all are the same there is nothing to sort."""
    assert sure == Edges(sorting()).sure_end(head(text, read))


@pytest.mark.parametrize(
    ("text", "read", "sure"),
    [
        ("bread", 3, 0),
        ("bre\u0301\u0323ad", 4, 2),
        ("bre\u0301\u0323ad", 3, 1),
        ("bre\u0301\u0323ad", 2, 0),
        ("bre" + "\u0301" * 9 + "ad", 7, 0),
        ("bre" + "\u0301" * 9 + "\u0323ad", 7, 5),
        ("bre\u0323" + "\u0301" * 9 + "ad", 7, 5),
        ("bre\u0323x" + "\u0301" * 9, 7, 0),
        ("e\u0301\u0323", 1, 1),
        ("\u0301\u0301", 1, 0),
        ("br\u0130" + "\u0323" * 9, 4, 4),
    ],
)
def test_at_the_beginning_they_are_unsure_to_the_next_base(text: str, read: int, sure: int) -> None:
    assert sure == Edges(sorting()).sure_begin(tail(text, read))


@pytest.mark.parametrize("tokenizer", [unigram(), grouped_bpe(), wordpiece()])
def test_normal_forms_sort_marks(tokenizer: Tokenizer) -> None:
    assert 2 == Edges(tokenizer).sure_end(head("bre\u0301\u0323ad", 4))


@pytest.mark.parametrize("tokenizer", [bpe_of(". ."), one_piece_bpe(), wordpiece(lowercase=False)])
def test_others_leave_them_where_they_are(tokenizer: Tokenizer) -> None:
    assert 4 == Edges(tokenizer).sure_end(head("bre\u0301\u0323ad", 4))
    assert 0 == Edges(tokenizer).sure_begin(tail("bre\u0301\u0323ad", 3))


@pytest.mark.parametrize(
    ("text", "read", "sure"),
    [
        ("one     <mask>", 5, 3),
        ("one     <mask>", 4, 3),
        ("one     two<mask>", 5, 5),
        ("one" + " " * 90_000 + "<mask>", 5, 3),
        ("one \n\t\u3000 <mask>", 5, 3),
        ("one     ", 5, 5),
        ("one<mask>", 3, 3),
        ("one     <mas", 5, 5),
    ],
)
def test_blanks_are_sure_unless_an_added_token_swallows_them(
    text: str, read: int, sure: int
) -> None:
    assert sure == Edges(swallowing(lstrip=True)).sure_end(head(text, read))
    assert read == Edges(swallowing()).sure_end(head(text, read))


def test_an_added_token_that_is_looked_for_in_the_normal_form_may_stand_anywhere() -> None:
    edges = Edges(swallowing(lstrip=True, normalized=True))

    assert 3 == edges.sure_end(head("one     two", 5))


@pytest.mark.parametrize(
    ("text", "read", "unsure"), [("<mask>   one", 5, 2), ("<mask>   one", 3, 0), ("      ", 4, 4)]
)
def test_blanks_at_the_beginning_are_unsure_if_a_token_may_swallow_them(
    text: str, read: int, unsure: int
) -> None:
    assert unsure == Edges(swallowing(rstrip=True)).sure_begin(tail(text, read))
    assert 0 == Edges(swallowing(lstrip=True)).sure_begin(tail(text, read))


@pytest.mark.parametrize(
    ("text", "read", "joined"),
    [
        ("one   two", 3, False),
        ("one   two", 5, False),
        ("one   \n two", 5, True),
        ("one   \ntwo", 5, True),
        ("one \n two", 5, True),
        ("one \ntwo", 5, True),
        ("one\n\n\ntwo", 5, False),
        ("one" + "\n" * 90_000, 5, False),
        ("one" + "\n" * 90_000 + " ", 5, True),
        ("     ", 3, False),
    ],
)
def test_blanks_may_be_joined_with_others_behind_them(text: str, read: int, joined: bool) -> None:
    """`\\s*[\\r\\n]+` takes blanks up to the last end of a line, however far."""
    edges = Edges(grouped_bpe())

    assert joined == edges.are_joined(head(text, read))
    assert (len(text[:read].rstrip()) if joined else read) == edges.sure_end(head(text, read))


def test_blanks_that_are_swallowed_are_not_joined() -> None:
    tokenizer = grouped_bpe()
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])

    assert not Edges(tokenizer).are_joined(head("one \n  <mask>", 5))
    assert Edges(tokenizer).are_joined(head("one \n  mask", 5))


@pytest.mark.parametrize("tokenizer", [bpe_of(". ."), wordpiece(), unigram()])
def test_others_join_no_blanks(tokenizer: Tokenizer) -> None:
    assert not Edges(tokenizer).are_joined(head("one \n \n two", 5))


def test_the_guard_is_longer_than_any_added_token() -> None:
    tokenizer = bpe_of(". .")
    assert GUARD_CHARACTERS == Edges(tokenizer).guard

    tokenizer.add_tokens([AddedToken("x" * 40), AddedToken("y" * 7)])
    assert GUARD_CHARACTERS + 40 == Edges(tokenizer).guard


@pytest.mark.parametrize("stretch", ["1", "123", "a", ".", " ", "a b", "a1"])
def test_pieces_found_from_the_left_are_stable(stretch: str) -> None:
    assert is_stable(bpe_of(". ."), stretch, 20)


@pytest.mark.parametrize(("stretch", "stable"), [("1", False), ("a", True), ("1a", True)])
def test_pieces_found_from_the_right_are_not(stretch: str, stable: bool) -> None:
    assert stable == is_stable(right_aligned_bpe(), stretch, 20)


@pytest.mark.parametrize("digits", [2, 3, 4])
def test_every_distance_between_ends_is_tried(digits: int) -> None:
    tokenizer = bpe_of("1 1")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(rf"\d{{1,{digits}}}(?=(\d{{{digits}}})*$)"), "isolated"
    )

    assert not is_stable(tokenizer, "1", 20)
