"""Texts of a call → packed token ids, with the three ways to treat a text above the limit."""

from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from .asking import ID_BYTES, packed, whole_rows
from .blocks import Blocks
from .cuts import Uncut
from .reading import Slices
from .segments import Segments
from .specials import special_ids
from .windows import LONG_BYTES, Windows

KEEP_START, KEEP_END, REFUSE = 0, 1, 2  # the values of the tensor TRUNCATION
_DIRECTIONS = {KEEP_START: "right", KEEP_END: "left"}  # the side that tokenizers cuts

# Bytes for each token of the limit up to which a text is tokenized whole; English has about five.
WHOLE_BYTES = 8
GROUP_BYTES = 16384  # of texts that are tokenized at once: some 4 ms
SHORT_BYTES = 4096  # a millisecond

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

    def __init__(
        self,
        path: Path | str,
        max_length: int,
        windows: bool = True,
        segments_mib: int = 0,
        are_tireless: bool = False,
    ) -> None:
        """Read a tokenizer.json.

        max_length    in tokens, special tokens included
        windows       whether a text far above the limit is read in windows
        segments_mib  for the ids of segments, if texts may be cut into them; 0: they are not
        are_tireless  whether segments are looked up although most of them are new

        The ids are the same whatever is chosen.
        """
        self.max_length = max_length
        self._tokenizer = _read(path)
        self._specials = special_ids(self._tokenizer)
        self._windows: Windows | None = None
        self._segments: Segments | None = None
        self._blocks: Blocks | None = None
        self._truncating: dict[int, Tokenizer] = {}
        self.why_no_segments = "" if segments_mib else "they have no room"
        if self._specials is None:
            self._truncating = {side: _read(path) for side in _DIRECTIONS}
            for side, tokenizer in self._truncating.items():
                tokenizer.enable_truncation(max_length, direction=_DIRECTIONS[side])
            self.why_no_segments = "its post-processor does more than add special tokens"
            return
        self._tokenizer.post_processor = None  # it can hide where tokens begin
        self._room = max(0, max_length - sum(map(len, self._specials)))
        if windows and (possible := Windows(self._tokenizer)).are_possible:
            self._windows = possible
        if segments_mib:
            try:
                self._segments = Segments(self._tokenizer, segments_mib * 2**20, are_tireless)
                self._blocks = Blocks(self._segments)
            except Uncut as reason:
                self.why_no_segments = str(reason)

    @property
    def has_windows(self) -> bool:
        """Whether a text far above the limit is read in windows."""
        return self._windows is not None

    @property
    def engine(self) -> str:
        """Where ids come from: `segments`, or `tokenizers` for every text."""
        return "segments" if self._segments else "tokenizers"

    @property
    def segments_bytes(self) -> int:
        """That are held by segments and their ids."""
        return self._segments.size_bytes if self._segments else 0

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
        rows: dict[int, bytes] = {}
        for indices in self._groups(texts):
            size = sum(len(texts[i]) for i in indices)
            if rows or size > LONG_BYTES:
                yield size > LONG_BYTES
            rows |= zip(indices, self._rows([texts[i] for i in indices], truncation), strict=True)
        refused: dict[int, int] = {}
        for index in sorted(set(range(len(texts))) - set(rows)):
            if rows:
                yield False
            row = yield from self._row(texts[index], truncation)
            if isinstance(row, int):
                refused[index] = row
                row = b""
            rows[index] = row
        return self._pack([rows[index] for index in range(len(texts))], refused, truncation)

    def _groups(self, texts: Sequence[bytes]) -> Iterator[list[int]]:
        """The texts that are read whole, as many at once as make one slice."""
        longest = WHOLE_BYTES * self.max_length if self._windows or self._blocks else inf
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

    def _rows(self, texts: Sequence[bytes], truncation: int) -> list[bytes]:
        """The ids of texts that are read whole, cut unless refused, without special tokens."""
        if self._segments:
            rows = self._segments.rows(texts)
        else:
            tokenizer = self._truncating.get(truncation, self._tokenizer)
            rows = whole_rows(tokenizer, texts)
        return [self._cut(row, truncation) for row in rows] if self._specials else rows

    def _row(self, text: bytes, truncation: int) -> Slices[bytes | int]:
        """The ids of a text that is not read whole; if refused, no more than their number."""
        if truncation == REFUSE:
            count = yield from self._count(text)
            if count > self._room:
                return count
        is_last = truncation == KEEP_END
        if self._blocks:
            row = yield from self._blocks.end(text, self._room, is_last)
            if row is not None:
                return row
        if self._windows:
            read = self._windows.last if is_last else self._windows.first
            return packed((yield from read(text, self._room)))
        yield True
        return self._rows([text], truncation)[0]

    def _count(self, text: bytes) -> Slices[int]:
        """The number of ids of such a text, without special tokens."""
        if self._blocks:
            count = yield from self._blocks.count(text)
            if count is not None:
                return count
        if self._windows:
            return (yield from self._windows.count(text))
        yield True
        return len(self._rows([text], REFUSE)[0]) // ID_BYTES

    def _cut(self, row: bytes, truncation: int) -> bytes:
        if truncation == REFUSE:
            return row
        size = ID_BYTES * self._room
        return row[:size] if truncation == KEEP_START else row[max(0, len(row) - size) :]

    def _pack(self, rows: list[bytes], refused: dict[int, int], truncation: int) -> Packed:
        """All rows with special tokens around each.

        refused  tokens of texts that are not among the rows
        """
        before, after = map(packed, self._specials or ((), ()))
        sizes = np.fromiter(map(len, rows), dtype=np.int32, count=len(rows)) // ID_BYTES
        for index, count in refused.items():
            sizes[index] = count
        seq_lens = sizes + np.int32(len(before + after) // ID_BYTES)
        if truncation == REFUSE:
            self._refuse_long(seq_lens)
        ids = before + (after + before).join(rows) + after if rows else b""
        return np.frombuffer(bytearray(ids), dtype=np.int64), seq_lens  # to be written to

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
