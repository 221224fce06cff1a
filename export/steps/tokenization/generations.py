"""A bounded memory of two generations: what is asked for again outlives what is not."""

from collections.abc import Iterable, Mapping
from sys import getsizeof
from threading import Lock

ALIGNMENT = 16  # bytes that Python's allocator hands out at once


class Generations:
    """Keys and values of bytes, within a number of bytes that counts all that Python takes.

    What is new or asked for is in the young generation. When that is half of what is allowed it
    becomes the old one, and what was old and not asked for since is forgotten. Threads may share
    it, and whoever has found something keeps it.

    young  to look up in; what is not there may still be recalled
    """

    def __init__(self, limit_bytes: int) -> None:
        self.young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}
        self._half = limit_bytes // 2
        self._contents = [0, 0]  # bytes of keys and values: young, old
        self._lock = Lock()

    @property
    def size_bytes(self) -> int:
        """All that both generations take."""
        return sum(self._contents) + getsizeof(self.young) + getsizeof(self._old)

    def recall(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """What is known of keys that the young generation lacks, and has from now on."""
        old = self._old
        found = {key: old[key] for key in keys if key in old}
        if found:
            self.put(found)
        return found

    def put(self, items: Mapping[bytes, bytes]) -> None:
        """Keeps new items."""
        with self._lock:
            for key, value in items.items():
                if key not in self.young:
                    self.young[key] = value
                    self._contents[0] += _size(key) + _size(value)
            # A table that is full is copied into one of twice its size.
            if self._contents[0] + 2 * getsizeof(self.young) > self._half:
                self._old, self.young = self.young, {}
                self._contents = [0, self._contents[0]]


def _size(value: bytes) -> int:
    return -(-getsizeof(value) // ALIGNMENT) * ALIGNMENT
