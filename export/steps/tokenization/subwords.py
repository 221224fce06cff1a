"""Which tokens of one unfinished piece are certain, whatever continues it.

A *piece* is what the model sees at once: a word, or a run of dots, or for some tokenizers the
whole text. The encodings of all beginnings of a piece form a tree, for BPE as for Unigram: without
its last token an encoding is that of the shorter beginning. So the encoding of the whole piece
passes through the start of some token across a position, and where the encodings up to all the
starts that the vocabulary allows agree, it agrees with them.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from itertools import pairwise, takewhile
from typing import Protocol

from tokenizers import Tokenizer, models

from .lattice import Lattice
from .pieces import Piece

LOOK_CHARACTERS = 512  # at an end of a piece: four of the longest tokens that vocabularies have
UNSURE_CHARACTERS = 32  # at the end of a window: what follows can change their normal form
UNSURE_TOKENS = 8
MERGING_TOKENS = 64  # in which all paths to a place become one
NO_CHARACTERS = [chr(code) for code in range(0x10FFFF, 0x10FF00, -1)]  # that hardly any knows


class Subwords(Protocol):
    """What is known of a model."""

    def settled(self, piece: Piece) -> int:
        """How many tokens at the beginning stay, whatever follows the piece."""
        ...

    def joined(self, piece: Piece, position: int, wanted: int) -> int:
        """How many last tokens stay, whatever stands before the position; 0 if not as wanted."""
        ...


def subwords_of(tokenizer: Tokenizer) -> Subwords | None:
    """What is known of the tokenizer's model, None if that is nothing."""
    model = tokenizer.model
    if isinstance(model, models.BPE) and not (
        model.dropout or model.continuing_subword_prefix or model.end_of_word_suffix
    ):
        return Bpe(model, Vocabulary(model, tokenizer.get_vocab(with_added_tokens=False)))
    if isinstance(model, models.Unigram):
        scores = dict(json.loads(tokenizer.to_str())["model"]["vocab"])
        return Unigram(model, Vocabulary(model, scores), scores)
    return None


class Vocabulary:
    """Which tokens could lie across a position."""

    def __init__(self, model: models.Model, tokens: Iterable[str]) -> None:
        self._model = model
        self._reach: dict[str, int] = {}  # first character → characters of the longest token
        for token in tokens:
            if len(token) > self._reach.get(token[:1], 1):
                self._reach[token[0]] = len(token)

    def reach(self, text: str) -> int:
        """Characters of the longest token that begins with a character of the text."""
        return max((self._reach.get(character, 1) for character in set(text)), default=1)

    def starts_across(self, text: str, position: int) -> list[int]:
        """The position, and where a token could start that lies across it, the latest first."""
        starts = [position]
        farthest = position - self.reach(text[max(0, position - LOOK_CHARACTERS) : position])
        for start in range(position - 1, max(-1, farthest), -1):
            longest = min(start + self._reach.get(text[start], 1), len(text))
            ends = range(position + 1, longest + 1)
            if any(self._model.token_to_id(text[start:end]) is not None for end in ends):
                starts.append(start)
        return starts


class Bpe:
    """Byte pair encoding, merges in the order of their ranks and leftmost first.

    Neighbouring tokens of an encoding are the encoding of their own text, since no merge reached
    across their ends. And tokens in a row of which each two neighbours are the encoding of their
    own text are the encoding of the whole, since the first merge across an end would have come
    about between those two alone. So two encodings that share a token may be joined at it.
    """

    STEPS_BACK = (1, 3, 9, 27)  # tokens

    def __init__(self, model: models.BPE, vocabulary: Vocabulary) -> None:
        self._model = model
        self._vocabulary = vocabulary
        self._bytes = _byte_tokens(model) if model.byte_fallback else {}

    def settled(self, piece: Piece) -> int:
        # No token reaches across a character that is given as bytes.
        seam = self._seam(piece, range(len(piece.ids) - UNSURE_TOKENS, 0, -1))
        return seam + self._settled(piece.after(seam))

    def _settled(self, piece: Piece) -> int:
        text = piece.text[:-UNSURE_CHARACTERS]
        reach = self._vocabulary.reach(text[-LOOK_CHARACTERS:])
        starts = self._vocabulary.starts_across(text, max(0, len(text) - reach))
        # Longer than any token, since `ignore_merges` takes a text that is a token for that token.
        before = bisect_right(piece.ends, starts[-1] - reach)
        for first in (before - back for back in self.STEPS_BACK if before >= back):
            begin = piece.ends[first - 1] if first else 0
            if self._ids(piece.text[begin:]) != piece.ids[first:]:
                return 0  # tokens that do not spell their text: unknown characters
            if all(self._ids(text[begin:start])[0] == piece.ids[first] for start in starts):
                return first + 1
        return 0

    def joined(self, piece: Piece, position: int, wanted: int) -> int:
        text, ends = piece.text, piece.ends
        seam = self._seam(piece, range(bisect_right(ends, position) + 1, len(ends)))
        if seam:
            return len(piece.ids) - seam
        position += self._vocabulary.reach(text[position : position + LOOK_CHARACTERS])
        stop = position + LOOK_CHARACTERS
        first, last = bisect_left(ends, position), bisect_right(ends, stop) - 1
        if (
            last <= first
            or self._ids(text[ends[first] : ends[last]]) != piece.ids[first + 1 : last + 1]
        ):
            return 0
        return min(
            self._shared(piece, start, stop)
            for start in self._vocabulary.starts_across(text, position)
        )

    def _shared(self, piece: Piece, start: int, stop: int) -> int:
        """How many tokens are left from the first that the encoding of text[start:stop] has too."""
        end = start
        for token in self._model.tokenize(piece.text[start:stop]):
            begin, end = end, end + len(token.value)
            index = bisect_left(piece.ends, end)
            if piece.ends[index] == end and begin == (piece.ends[index - 1] if index else 0):
                return len(piece.ids) - index
        return 0

    def _seam(self, piece: Piece, indices: range) -> int:
        """The first of the tokens that follows a character given as bytes, 0 if none does."""
        for index in indices if self._bytes else ():
            after = self._bytes.get(piece.ids[index], 0)
            if piece.ids[index - 1] in self._bytes and not 0x80 <= after < 0xC0:
                return index
        return 0

    def _ids(self, text: str) -> list[int]:
        return [token.id for token in self._model.tokenize(text)]


class Unigram:
    """The path of the highest score. Scores are sums of floats from the piece's beginning on.

    Where two paths are equally good, as they are for a long run of dots, the rounding of these
    sums decides: there nothing is certain but the whole piece. Such paths have equally many
    tokens, so a piece may be counted in parts.
    """

    POSITIONS = 8  # tried for one that few tokens could lie across

    def __init__(
        self, model: models.Unigram, vocabulary: Vocabulary, scores: Mapping[str, float]
    ) -> None:
        self._model = model
        self._vocabulary = vocabulary
        self.lattice = Lattice(scores)
        unknown = next(filter(self._lacks, NO_CHARACTERS), "")
        self._unknown = set(self._ids(unknown))  # one token, or the bytes of the character
        self.spells = len(self._unknown) == 1  # whether tokens are the text that they stand for

    def settled(self, piece: Piece) -> int:
        text = piece.text[:-UNSURE_CHARACTERS]
        last = max(0, len(text) - self._vocabulary.reach(text[-LOOK_CHARACTERS:]))
        positions = range(last, max(-1, last - self.POSITIONS), -1)
        if not self.spells:
            return 0
        starts = min((self._vocabulary.starts_across(text, each) for each in positions), key=len)
        paths = [piece.ids, *(self._ids(text[:start]) for start in starts)]
        same = sum(1 for _ in takewhile(lambda ids: len(set(ids)) == 1, zip(*paths, strict=False)))
        while same and piece.ids[same - 1] in self._unknown:
            same -= 1  # more of the same may follow
        return same

    def joined(self, piece: Piece, position: int, wanted: int) -> int:
        text, same = piece.text, len(piece.ids)
        far = same - wanted - MERGING_TOKENS
        position = max(position, piece.ends[far - 1] if far > 0 else 0)
        position += self._vocabulary.reach(text[position : position + LOOK_CHARACTERS])
        if position >= len(text) or not self.spells:
            return 0
        for start in self._vocabulary.starts_across(text, position):
            same = min(same, self._same_at_end(piece, start))
            if same < wanted:
                return 0
        while same and piece.ids[-same] in self._unknown:
            same -= 1  # more of the same may stand before
        return same

    def _same_at_end(self, piece: Piece, start: int) -> int:
        """How many last tokens the best path from a start has too, beyond doubt."""
        path, doubt = self.lattice.best_path(piece.text, start)
        tokens = list(pairwise([0, *piece.ends]))
        pairs = zip(reversed(tokens), reversed(path), strict=False)
        equal = takewhile(lambda pair: pair[0] == pair[1], pairs)
        return sum(1 for (_, end), _ in takewhile(lambda pair: pair[0][1] > doubt, equal))

    def _lacks(self, character: str) -> bool:
        return self._model.token_to_id(character) is None

    def _ids(self, text: str) -> list[int]:
        return [token.id for token in self._model.tokenize(text)]


def _byte_tokens(model: models.Model) -> dict[int, int]:
    """The tokens that stand for a byte of an unknown character, and which byte."""
    ids = ((model.token_to_id(f"<0x{byte:02X}>"), byte) for byte in range(256))
    return {id: byte for id, byte in ids if id is not None}
