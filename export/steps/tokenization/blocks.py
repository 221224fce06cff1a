"""The first ids, the last ids, or the number of ids of a long text, from its segments."""

from collections.abc import Iterator

from .asking import ID_BYTES
from .reading import Slices
from .segments import Segments

BLOCK_BYTES = 16384  # as many as are tokenized at once
BYTES_A_TOKEN = 6  # with the blank after it, in most texts less
LEAST_BYTES = 1024
# Fewer ids than one for so many bytes, and more than segments is needed: mostly blanks, or words
# without end.
SPARSE_BYTES = 64


class Blocks:
    """Parts of a text between two cuts, one after the other; each is a slice of work."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments

    def end(self, data: bytes, count: int, is_last: bool) -> Slices[bytes | None]:
        """The first or last ids of a text in UTF-8, at most `count`.

        returns  int64; None if segments do not tell
        """
        size, wanted = 0, ID_BYTES * count
        block_bytes = min(max(LEAST_BYTES, BYTES_A_TOKEN * count), BLOCK_BYTES)
        rows: list[bytes] = []
        blocks = self._backwards if is_last else self._forwards
        for block, start in blocks(data, block_bytes):
            row = self._row(block, start)
            if row is None:
                return None
            rows.append(row)
            size += len(row)
            if size >= wanted:
                break
            yield False
        if is_last:
            return b"".join(reversed(rows))[max(0, size - wanted) :]
        return b"".join(rows)[:wanted]

    def count(self, data: bytes) -> Slices[int | None]:
        """How many ids a text in UTF-8 has; None if segments do not tell."""
        size = 0
        for block, start in self._forwards(data, BLOCK_BYTES):
            row = self._row(block, start)
            if row is None:
                return None
            size += len(row)
            yield False
        return size // ID_BYTES

    def _row(self, block: bytes | None, start: int) -> bytes | None:
        """The ids of a block; None if it has too few, or stands beside no cut."""
        row = None if block is None else self._segments.row(block, start == 0)
        if block is None or row is None:
            return None
        is_sparse = len(block) >= LEAST_BYTES and SPARSE_BYTES * len(row) < ID_BYTES * len(block)
        return None if is_sparse else row

    def _forwards(self, data: bytes, size: int) -> Iterator[tuple[bytes | None, int]]:
        """Blocks and where they begin, from the left; None for one without an end."""
        cuts, start = self._segments.cuts, 0
        while start < len(data):
            stop = len(data)
            if stop - start > size:
                stop = cuts.last_cut(data, start, start + size)
            yield (data[start:stop] if stop > 0 else None), start
            start = stop + 1

    def _backwards(self, data: bytes, size: int) -> Iterator[tuple[bytes | None, int]]:
        """The same from the right."""
        cuts, stop = self._segments.cuts, len(data)
        while stop > 0:
            start = 0
            if stop > size:
                start = cuts.first_cut(data, stop - size, stop) + 1
            yield (data[start:stop] if start > 0 or stop <= size else None), start
            stop = start - 1
