"""A part of a text, its tokens, and the pieces they belong to."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import cast

from tokenizers import Tokenizer

PERIOD_TOKENS = 64  # in which a period must come twice


@dataclass(frozen=True, slots=True)
class Piece:
    """What the model sees at once, or as much of it as a window shows.

    text  as the model sees it
    ids   (n,) of its tokens
    ends  (n,) of its tokens, in characters of the text
    """

    text: str
    ids: list[int]
    ends: list[int]

    def after(self, index: int) -> "Piece":
        """The piece from a token on."""
        begin = self.ends[index - 1] if index else 0
        return Piece(
            self.text[begin:], self.ids[index:], [end - begin for end in self.ends[index:]]
        )


class Window:
    """A part of a text as the tokenizer sees it when it is alone."""

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        """tokenizer: without a post-processor."""
        self._encoding = tokenizer.encode(text)
        # One number a token, never less than the one before.
        self._pieces = cast(list[int], self._encoding.word_ids)
        self.text = text
        self.ids = self._encoding.ids

    def __len__(self) -> int:
        return len(self.ids)

    def start(self, index: int) -> int:
        """Where a token begins, in characters of the text."""
        return self._span(index)[0]

    def end(self, index: int) -> int:
        """Where a token ends, in characters of the text."""
        return self._span(index)[1]

    def token(self, index: int) -> tuple[int, int, int]:
        """Id, start and end of a token."""
        return self.ids[index], *self._span(index)

    def at(self, character: int) -> int:
        """The first token that begins there or later."""
        return bisect_left(range(len(self)), character, key=self.start)

    def piece_begin(self, index: int) -> int:
        """The first token of a token's piece."""
        return bisect_left(self._pieces, self._pieces[index])

    def piece_end(self, index: int) -> int:
        """The first token after a token's piece."""
        return bisect_right(self._pieces, self._pieces[index])

    def piece(self, index: int) -> Piece:
        """The piece that begins with a token."""
        last = self.piece_end(index)
        tokens = self._encoding.tokens[index:last]
        return Piece("".join(tokens), self.ids[index:last], list(accumulate(map(len, tokens))))

    def pieces(self, begin: int, end: int) -> dict[int, int]:
        """Where pieces begin between two characters → the first token of each."""
        starts = {}
        index = self.at(begin)
        if index < len(self) and self.piece_begin(index) < index:
            index = self.piece_end(index)
        while index < len(self) and self.start(index) < end:
            starts[self.start(index)] = index
            index = self.piece_end(index)
        return starts

    def period(self, first: int) -> int:
        """Bytes after which the tokens from one on repeat themselves; 0 if they do not."""
        ids = self.ids[first : first + PERIOD_TOKENS]
        for length in range(1, len(ids) // 2):
            if ids[length:] == ids[:-length]:
                return len(self.text[self.start(first) : self.start(first + length)].encode())
        return 0

    def _span(self, index: int) -> tuple[int, int]:
        span = self._encoding.token_to_chars(index)
        assert span is not None
        return span
