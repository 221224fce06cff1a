"""The ids of segments that nobody knows yet, many in one text: each in its own costs twice that."""

from array import array
from collections.abc import Iterable, Sequence

import numpy as np
from tokenizers import Tokenizer

from .cuts import Cuts, Uncut
from .neighbours import AddedTokens, Edges

ID_BYTES = 8
SEPARATORS = ("|", "~", "the")  # rare or short words, most likely of one token
SEARCHED_TOKENS = 1000  # of a vocabulary without them


def packed(ids: Sequence[int]) -> bytes:
    """Ids as int64."""
    return array("q", ids).tobytes()


def whole_rows(tokenizer: Tokenizer, texts: Sequence[bytes]) -> list[bytes]:
    """The ids of texts in UTF-8, each as int64."""
    encodings = tokenizer.encode_batch_fast([text.decode() for text in texts])
    return [packed(encoding.ids) for encoding in encodings]


class Asking:
    """What a tokenizer makes of segments.

    separator  a word that parts them
    """

    def __init__(self, tokenizer: Tokenizer, cuts: Cuts) -> None:
        """tokenizer: without a post-processor.

        Raises: Uncut.
        """
        self._tokenizer = tokenizer
        self._cuts = cuts
        self._edges = Edges(tokenizer) if cuts.has_edges else None
        self._added = AddedTokens(tokenizer)
        self.separator, self._separator_id = self._find_separator()

    def ids(self, segments: Iterable[bytes]) -> dict[bytes, bytes]:
        """The ids of segments, but for those that depend on what stands beside them.

        Raises: UnicodeDecodeError.
        """
        alone: dict[bytes, str] = {}
        joined: dict[bytes, str] = {}
        for segment in segments:
            text = (segment[1:] if self._cuts.is_first(segment) else segment).decode()
            if not self._depends(text):
                joins = self._cuts.is_inner(segment) and self.separator not in text
                (joined if joins else alone)[segment] = text
        found = self._joined(joined)
        if joined and not found:
            alone |= joined
        return found | self._alone(alone)

    def _depends(self, text: str) -> bool:
        if self._added.unknown and self._added.unknown in text:
            return True
        return self._edges is not None and not self._edges.are_safe(text)

    def _joined(self, texts: dict[bytes, str]) -> dict[bytes, bytes]:
        """Of segments in one text with separators; none if an added token is among them."""
        if not texts:
            return {}
        # One more before them all, since some tokenize the first word of a text in another way.
        words = f" {self.separator} ".join([self.separator, *texts.values()])
        (ids,) = self._encode([words])
        row = packed(ids)
        places = np.flatnonzero(np.frombuffer(row, np.int64)[1:] == self._separator_id)
        if len(places) != len(texts) or not self._added.ids.isdisjoint(ids):
            return {}
        starts = (ID_BYTES * (places + 2)).tolist()
        ends = [*(ID_BYTES * (places[1:] + 1)).tolist(), len(row)]
        spans = zip(texts, starts, ends, strict=True)
        return {segment: row[start:end] for segment, start, end in spans}

    def _alone(self, texts: dict[bytes, str]) -> dict[bytes, bytes]:
        """Of segments in texts of their own, but for those with an added token."""
        leads = ["" if self._cuts.is_first(segment) else self._cuts.lead for segment in texts]
        rows = self._encode([lead + text for lead, text in zip(leads, texts.values(), strict=True)])
        return {
            segment: packed(ids)
            for segment, ids in zip(texts, rows, strict=True)
            if self._added.ids.isdisjoint(ids)
        }

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def _find_separator(self) -> tuple[str, int]:
        """A word of one token, and its id where it is not the first.

        Raises: Uncut.
        """
        vocabulary = sorted(self._tokenizer.get_vocab(with_added_tokens=False))
        words = filter(str.isascii, (token.strip("▁Ġ") for token in vocabulary[:SEARCHED_TOKENS]))
        for word in (*SEPARATORS, *filter(str.isalnum, words)):
            two, three = self._encode([f"{word} {word}", f"{word} {word} {word}"])
            is_one = len(two) == 2 and len(three) == 3 and two[1] == three[1] == three[2]
            if is_one and three[2] not in self._added.ids | {self._added.unknown_id}:
                return word, three[2]
        raise Uncut("no word is known that could part others")
