"""Texts of a call → packed token ids, with the three ways to treat a text above the limit."""

from collections.abc import Iterator, Sequence
from itertools import chain
from math import inf
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from .reading import Slices
from .specials import special_ids
from .windows import LONG_BYTES, Windows

KEEP_START, KEEP_END, REFUSE = 0, 1, 2  # the values of the tensor TRUNCATION
_DIRECTIONS = {KEEP_START: "right", KEEP_END: "left"}  # the side that tokenizers cuts

# Bytes for each token of the limit up to which a text is tokenized whole; English has about five.
WHOLE_BYTES = 8
GROUP_BYTES = 16384  # of texts that are tokenized at once: some 4 ms
SHORT_BYTES = 4096  # a millisecond

Ids: TypeAlias = Sequence[int]
Packed: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int32]]


def are_short(texts: Sequence[bytes]) -> bool:
    """Whether tokenizing all of these takes no longer than handing them over to a thread."""
    return sum(map(len, texts)) <= SHORT_BYTES


class InputTooLong(ValueError):
    """Texts above the limit, when nothing may be cut.

    overflows  (index of the text, its tokens with special tokens) of each such text
    """

    def __init__(self, max_length: int, overflows: list[tuple[int, int]]) -> None:
        super().__init__(f"{len(overflows)} texts have more than {max_length} tokens")
        self.max_length = max_length
        self.overflows = overflows


class PackedTokenizer:
    """A tokenizer whose output is packed: no padding, no mask."""

    def __init__(self, path: Path | str, max_length: int, windows: bool = True) -> None:
        """Read a tokenizer.json.

        max_length  in tokens, special tokens included
        windows     whether a text far above the limit is read in windows; the ids are the same
        """
        self.max_length = max_length
        self._tokenizer = _read(path)
        self._specials = special_ids(self._tokenizer)
        self._windows: Windows | None = None
        if self._specials is None:
            self._truncating = {side: _read(path) for side in _DIRECTIONS}
            for side, tokenizer in self._truncating.items():
                tokenizer.enable_truncation(max_length, direction=_DIRECTIONS[side])
            return
        self._tokenizer.post_processor = None  # it can hide where tokens begin
        self._room = max(0, max_length - sum(map(len, self._specials)))
        if windows and (possible := Windows(self._tokenizer)).are_possible:
            self._windows = possible

    @property
    def has_windows(self) -> bool:
        """Whether a text far above the limit is read in windows."""
        return self._windows is not None

    def tokenize(self, texts: Sequence[str | bytes], truncation: int = KEEP_START) -> Packed:
        """Token ids of all texts, one after the other.

        texts    bytes are UTF-8
        returns  input_ids (T,) int64, seq_lens (N,) int32

        Raises: InputTooLong if truncation is REFUSE and a text is above the limit;
            KeyError if truncation is none of the three; UnicodeDecodeError.
        """
        encoded = [text.encode() if isinstance(text, str) else text for text in texts]
        slices = self.slices(encoded, truncation)
        while True:
            try:
                next(slices)
            except StopIteration as end:
                packed: Packed = end.value
                return packed

    def slices(self, texts: Sequence[bytes], truncation: int = KEEP_START) -> Slices[Packed]:
        """The same for texts in UTF-8, in slices of some milliseconds.

        yields  between two slices, whether the next may be longer
        """
        if truncation not in (KEEP_START, KEEP_END, REFUSE):
            raise KeyError(truncation)
        rows: dict[int, Ids] = {}
        for indices in self._groups(texts):
            size = sum(len(texts[i]) for i in indices)
            if rows or size > LONG_BYTES:
                yield size > LONG_BYTES
            rows |= zip(indices, self._rows([texts[i] for i in indices], truncation), strict=True)
        for index in sorted(set(range(len(texts))) - set(rows)):
            if rows:
                yield False
            rows[index] = yield from self._row(texts[index], truncation)
        return self._pack([rows[index] for index in range(len(texts))], truncation)

    def _groups(self, texts: Sequence[bytes]) -> Iterator[list[int]]:
        """The texts that are read whole, as many at once as make one slice."""
        longest = WHOLE_BYTES * self.max_length if self._windows else inf
        group, size = list[int](), 0
        for index, text in enumerate(texts):
            if len(text) <= longest:
                if group and size + len(text) > GROUP_BYTES:
                    yield group
                    group, size = [], 0
                group.append(index)
                size += len(text)
        if group:
            yield group

    def _rows(self, texts: Sequence[bytes], truncation: int) -> list[Ids]:
        """The ids of texts that are read whole, cut unless refused."""
        decoded = [text.decode() for text in texts]
        if self._specials is None:
            tokenizer = self._truncating.get(truncation, self._tokenizer)
            return [encoding.ids for encoding in tokenizer.encode_batch_fast(decoded)]
        encodings = self._tokenizer.encode_batch_fast(decoded)
        return [self._around(self._cut(encoding.ids, truncation)) for encoding in encodings]

    def _row(self, text: bytes, truncation: int) -> Slices[Ids]:
        """The ids of a text that is read in windows; if refused, no more than their number."""
        assert self._windows is not None
        if truncation == KEEP_END:
            return self._around((yield from self._windows.last(text, self._room)))
        if truncation == REFUSE:
            count = yield from self._windows.count(text)
            if count > self._room:
                return range(count + self.max_length - self._room)
        return self._around((yield from self._windows.first(text, self._room)))

    def _cut(self, ids: list[int], truncation: int) -> list[int]:
        if truncation == REFUSE:
            return ids
        if truncation == KEEP_START:
            return ids[: self._room]
        return ids[max(0, len(ids) - self._room) :]

    def _around(self, ids: list[int]) -> list[int]:
        assert self._specials is not None
        before, after = self._specials
        return [*before, *ids, *after]

    def _pack(self, rows: list[Ids], truncation: int) -> Packed:
        seq_lens = np.fromiter(map(len, rows), dtype=np.int32, count=len(rows))
        if truncation == REFUSE:
            self._refuse_long(seq_lens)
        total = int(seq_lens.sum())
        return np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=total), seq_lens

    def _refuse_long(self, seq_lens: NDArray[np.int32]) -> None:
        long = np.flatnonzero(seq_lens > self.max_length)
        if long.size:
            overflows = list(zip(long.tolist(), seq_lens[long].tolist(), strict=True))
            raise InputTooLong(self.max_length, overflows)


def _read(path: Path | str) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
