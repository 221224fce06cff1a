"""A window's tokens by index, by character and by piece."""

import pytest

from export.steps.tokenization.pieces import PERIOD_TOKENS, Piece, Window
from tests.export.steps.tokenization.kinds import byte_bpe, whole_ids, wordpiece

BERT = wordpiece()


def test_tokens_are_those_of_the_text_alone() -> None:
    window = Window(BERT, "The baker, again.")

    assert whole_ids(BERT, "The baker, again.") == window.ids
    assert len(window.ids) == len(window)


def test_tokens_have_places_in_characters() -> None:
    window = Window(BERT, "Käse 面包")

    index = window.at(5)
    assert (5, 6) == (window.start(index), window.end(index))
    assert (window.ids[index], 5, 6) == window.token(index)


@pytest.mark.parametrize(("character", "start"), [(-3, 0), (0, 0), (1, 4), (3, 4), (4, 4), (5, 9)])
def test_a_token_is_found_by_where_it_begins(character: int, start: int) -> None:
    window = Window(BERT, "one two  ten")

    assert start == window.start(window.at(character))


def test_after_the_last_token_is_the_number_of_tokens() -> None:
    window = Window(BERT, "one two")

    assert len(window) == window.at(7) == window.at(100)


def test_pieces_are_words() -> None:
    text = "Elektrizität, crust"
    window = Window(BERT, text)
    comma, last = window.at(12), window.at(14)

    assert [0, comma] == [window.piece_begin(comma - 1), window.piece_end(0)]
    assert [comma, comma + 1] == [window.piece_begin(comma), window.piece_end(comma)]
    assert [last, len(window)] == [window.piece_begin(len(window) - 1), window.piece_end(last)]
    assert {0: 0, 12: comma, 14: last} == window.pieces(0, len(text))


@pytest.mark.parametrize(
    ("begin", "end", "starts"),
    [(0, 1, [0]), (1, 12, []), (1, 13, [12]), (12, 14, [12]), (13, 99, [14]), (15, 99, [])],
)
def test_pieces_between_characters_are_those_that_begin_there(
    begin: int, end: int, starts: list[int]
) -> None:
    window = Window(BERT, "Elektrizität, crust")

    pieces = window.pieces(begin, end)

    assert starts == list(pieces)
    assert all(window.start(index) == start for start, index in pieces.items())


def test_a_piece_is_spelled_as_the_model_sees_it() -> None:
    tokenizer = byte_bpe()
    window = Window(tokenizer, "again über")
    begin = window.at(5)

    piece = window.piece(begin)

    assert "ĠÃ¼ber" == piece.text
    assert window.ids[begin:] == piece.ids
    tokens = [tokenizer.id_to_token(id) or "" for id in piece.ids]
    assert [len("".join(tokens[: i + 1])) for i in range(len(tokens))] == piece.ends


def test_the_rest_of_a_piece() -> None:
    piece = Piece("abcdef", [1, 2, 3], [1, 3, 6])

    assert piece == piece.after(0)
    assert Piece("bcdef", [2, 3], [2, 5]) == piece.after(1)
    assert Piece("", [], []) == piece.after(3)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("." * 100, 1),
        ("., " * 100, 3),
        ("面" * 100, 3),
        (".,;:!?" * 100, 6),
        ("one " * 100, 4),
    ],
)
def test_a_period_is_in_bytes(text: str, size: int) -> None:
    assert size == Window(BERT, text).period(2)


@pytest.mark.parametrize("tokens", [PERIOD_TOKENS // 2 - 1, PERIOD_TOKENS // 2])
def test_a_period_must_come_twice(tokens: int) -> None:
    alphabet = [chr(0x4E00 + number) for number in range(tokens)]
    tokenizer = wordpiece()
    tokenizer.add_tokens(alphabet)

    period = Window(tokenizer, "".join(alphabet) * 4).period(0)

    assert period == (3 * tokens if 2 * tokens < PERIOD_TOKENS else 0)


def test_what_does_not_repeat_has_no_period() -> None:
    assert 0 == Window(BERT, "The baker, again. Why is bread so tasty?").period(0)
    assert 0 == Window(BERT, "one").period(0)
    assert 0 == Window(BERT, "").period(0)
