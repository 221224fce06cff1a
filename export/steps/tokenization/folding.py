"""Texts in which a run goes on for megabytes, with most of it left out, for Unigram.

Without that the sums of scores in the run's piece would be others, so `runs` goes through it; all
other pieces are what they are.
"""

from collections.abc import Callable

from tokenizers import Tokenizer

from .certainty import Certainty
from .lattice import Lattice
from .marks import is_mark
from .pieces import Window
from .reading import End, Head, Slices, Tail
from .runs import Path, Run

EDGE_CHARACTERS = 512  # that must repeat themselves
LONGEST_PERIOD = 64  # characters
KEPT_COPIES = 64  # of what is repeated, at the other end of the run
READ_BYTES = (2048, 32768)  # beyond the run, to the end of its piece


class Folding:
    """The ids of such texts, for one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, certainty: Certainty, lattice: Lattice) -> None:
        """lattice: of the tokenizer's model, with the very scores that it adds up."""
        self._tokenizer = tokenizer
        self._certainty = certainty
        self._lattice = lattice

    def first(self, head: Head, count: int) -> Slices[list[int] | None]:
        """At least `count` first ids of a text that is read into a run; None if it is no such."""
        return (yield from self._ids(head, lambda path: path.first(count)))

    def last(self, tail: Tail, count: int) -> Slices[list[int] | None]:
        """At least `count` last ids of a text that is read into a run; None if it is no such."""
        return (yield from self._ids(tail, lambda path: path.last(count)))

    def _ids(self, end: End, take: Callable[[Path], list[str]]) -> Slices[list[int] | None]:
        unit = _unit(end)
        if not unit or any(map(is_mark, unit)):
            return None
        copies = end.fold(unit, KEPT_COPIES)
        if not copies or len(end.gaps) > 1:
            return None
        for size in READ_BYTES:
            yield True
            end.grow(size)
            window = Window(self._tokenizer, end.text)
            place = _place(window, end.gaps[0], unit)
            if place is None:
                return None
            piece = range(window.piece_begin(place), window.piece_end(place))
            if self._certainty.holds(window, end, piece):
                path = self._path(window, place, len(unit), copies)
                return None if path is None else self._joined(window, piece, take(path))
        return None

    def _joined(self, window: Window, piece: range, tokens: list[str]) -> list[int] | None:
        """The window's ids with those of tokens in place of a piece's; None if one is unknown."""
        ids = [self._tokenizer.model.token_to_id(token) for token in tokens]
        known = [id for id in ids if id is not None]
        if len(known) < len(ids):
            return None
        return [*window.ids[: piece.start], *known, *window.ids[piece.stop :]]

    def _path(self, window: Window, place: int, length: int, copies: int) -> Path | None:
        """The path through a token's piece with copies of the characters before that token."""
        begin, character = window.piece_begin(place), window.start(place)
        unit = window.text[character - length : character]
        piece = window.piece(begin)
        position = piece.ends[place - begin - 1]
        longer = f"{window.text[:character]}{unit}{window.text[character:]}"
        text = Window(self._tokenizer, longer).piece(begin).text
        end = position + len(text) - len(piece.text)  # of the unit as the model sees it
        if end <= position or text[:position] + text[end:] != piece.text:
            return None  # the unit is not within the piece
        run = Run(self._lattice)
        run.add(piece.text[:position])
        if not run.repeat(text[position:end], copies):
            return None
        run.add(piece.text[position:])
        return run.path()


def _unit(end: End) -> str:
    """What was read last and repeats itself, nothing if it does not."""
    edge = end.edge(EDGE_CHARACTERS)
    for period in range(1, LONGEST_PERIOD + 1):
        if edge[period:] == edge[:-period]:
            return end.edge(period)
    return ""


def _place(window: Window, gap: int, unit: str) -> int | None:
    """The first token after a gap that begins where one ends, in the piece around the gap.

    There a unit in the gap must be as good as one more of the characters before the token.
    """
    for index in range(max(1, window.at(gap)), len(window)):
        if window.piece_begin(index) == index:
            return None
        start = window.start(index)
        if window.end(index - 1) <= start:
            between = window.text[gap:start]
            same = window.text[start - len(unit) : start]
            return index if unit + between == between + same else None
    return None
