"""Where records are kept: the seam, and the memory of this process."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

# A place in the dictionary, and what Python puts before the bytes of a key and of a record.
ENTRY_BYTES = 200


class Store(Protocol):
    """Keeps bytes under bytes, as long as it likes. It never fails: it has a record, or not."""

    @property
    def held_bytes(self) -> int:
        """Of the memory of this process."""
        ...

    async def read(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """The record under each key."""
        ...

    async def write(self, records: Mapping[bytes, bytes]) -> None: ...

    async def close(self) -> None: ...


class MemoryStore:
    """A bound on bytes; what was not asked for the longest goes first.

    max_bytes  of this process, keys and what Python adds included
    """

    def __init__(self, max_bytes: int) -> None:
        self.held_bytes = 0
        self._max_bytes = max_bytes
        self._records: OrderedDict[bytes, bytes] = OrderedDict()

    async def read(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        records = [self._records.get(key) for key in keys]
        for key, record in zip(keys, records, strict=True):
            if record is not None:
                self._records.move_to_end(key)
        return records

    async def write(self, records: Mapping[bytes, bytes]) -> None:
        for key, record in records.items():
            if (before := self._records.pop(key, None)) is not None:
                self.held_bytes -= _size(key, before)
            self._records[key] = record
            self.held_bytes += _size(key, record)
        while self.held_bytes > self._max_bytes:
            self.held_bytes -= _size(*self._records.popitem(last=False))

    async def close(self) -> None:
        self._records.clear()
        self.held_bytes = 0


def _size(key: bytes, record: bytes) -> int:
    return len(key) + len(record) + ENTRY_BYTES
