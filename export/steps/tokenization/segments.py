"""Texts → ids, segment by segment: what stands between blanks is tokenized once, then looked up.

Tokenizing costs what normalization costs, and a lookup a twentieth of that. It is done where `cuts`
allows it, and never with a text that has a segment of which that is not sure: such a text is left
to the tokenizer as a whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from .asking import Asking, whole_rows
from .cuts import cuts_of
from .generations import Generations
from .worth import MOST_MISSES, Worth

# Bytes a segment, on average, above which a text has no blanks to speak of: Chinese has none.
DENSE_BYTES = 32
KEPT_BYTES = 64  # of a segment: longer ones hardly come again


@dataclass(slots=True)
class Unknown:
    """A text with segments that nobody has looked up yet.

    values   ids of the segments, None for those
    """

    index: int
    segments: list[bytes]
    values: list[bytes | None]

    def missing(self) -> Iterator[int]:
        """The segments without ids."""
        place = -1
        try:
            while True:
                place = self.values.index(None, place + 1)
                yield place
        except ValueError:
            return

    def fill(self, found: dict[bytes, bytes]) -> bytes | None:
        """The ids of the text, None if one of its segments is not found."""
        for place in self.missing():
            self.values[place] = found.get(self.segments[place])
        return _joined(self.values)


class Segments:
    """The segments of texts and their ids, for one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, limit_bytes: int, are_tireless: bool = False) -> None:
        """Of a tokenizer without a post-processor.

        limit_bytes   of what is kept
        are_tireless  whether segments are looked up although most of them are new

        Raises: Uncut.
        """
        self._tokenizer = tokenizer
        self.cuts = cuts_of(tokenizer)
        self._asking = Asking(tokenizer, self.cuts)
        self._worth = Worth(most_misses=1.0 if are_tireless else MOST_MISSES)
        self._known = Generations(limit_bytes)

    @property
    def size_bytes(self) -> int:
        """Of all that is kept."""
        return self._known.size_bytes

    def rows(self, texts: Sequence[bytes]) -> list[bytes]:
        """The ids of each text in UTF-8, as int64.

        Raises: UnicodeDecodeError.
        """
        rows: dict[int, bytes] = {}
        if self._worth.is_given(sum(map(len, texts))):
            rows = self._rows(texts)
        if len(rows) < len(texts):
            left = [index for index in range(len(texts)) if index not in rows]
            rows |= zip(left, whole_rows(self._tokenizer, [texts[i] for i in left]), strict=True)
        return [rows[index] for index in range(len(texts))]

    def row(self, text: bytes, is_whole: bool) -> bytes | None:
        """The ids of a text, or of one that begins after a cut; None if it cannot be cut."""
        return self._rows([text], is_whole).get(0) if self._worth.is_given(len(text)) else None

    def _rows(self, texts: Sequence[bytes], are_whole: bool = True) -> dict[int, bytes]:
        """The ids of those texts that can be cut, by their indices."""
        rows: dict[int, bytes] = {}
        unknown: list[Unknown] = []
        get, looked_up = self._known.young.get, 0
        for index, text in enumerate(texts):
            segments = self.cuts.segments(text, are_whole)
            if len(text) > DENSE_BYTES * len(segments):
                continue
            looked_up += len(segments)
            values = list(map(get, segments))
            row = _joined(values)
            if row is None:
                unknown.append(self._unknown(index, text, segments, values, are_whole))
            else:
                rows[index] = row
        found = self._find(unknown, looked_up)
        filled = {lacking.index: lacking.fill(found) for lacking in unknown}
        return rows | {index: row for index, row in filled.items() if row is not None}

    def _unknown(
        self,
        index: int,
        text: bytes,
        segments: list[bytes],
        values: list[bytes | None],
        is_whole: bool,
    ) -> Unknown:
        unknown = Unknown(index, segments, values)
        if all(self.cuts.is_plain(segments[place]) for place in unknown.missing()):
            return unknown
        segments = self.cuts.careful_segments(text, is_whole)
        return Unknown(index, segments, list(map(self._known.young.get, segments)))

    def _find(self, unknown: list[Unknown], looked_up: int) -> dict[bytes, bytes]:
        """Segments that texts lack, but for those that depend on what stands beside them."""
        missing = {text.segments[place] for text in unknown for place in text.missing()}
        found = self._known.recall(missing)
        asked = missing.difference(found)
        self._worth.learn(looked_up, len(asked))
        answers = self._asking.ids(asked)
        self._known.put({s: answers[s] for s in answers if self._is_kept(s)})
        return found | answers

    def _is_kept(self, segment: bytes) -> bool:
        return len(segment) <= KEPT_BYTES and self.cuts.is_plain(segment)


def _joined(values: list[bytes | None]) -> bytes | None:
    """All values in a row, None if one of them is."""
    try:
        return b"".join(values)  # type: ignore[arg-type]
    except TypeError:
        return None
