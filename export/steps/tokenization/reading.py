"""One end of a text, decoded as far as asked for: 31 MB of bytes are never decoded whole."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from math import inf
from typing import TypeAlias, TypeVar

CONTEXT_BYTES = 512  # on either side of what is left out
# Looked at or left out at once: whole repetitions of all short periods up to 10 bytes but 7 and 9,
# and of 25, a family of emoji.
PART_BYTES, BLOCK_BYTES = 4800, 38400

Result = TypeVar("Result")
# Work in slices of some milliseconds: what is yielded tells whether the next may be longer.
Slices: TypeAlias = Generator[bool, None, Result]

# (before, middle, after) → the tokens that the middle adds, if the others are the same without it.
Removable: TypeAlias = Callable[[str, str, str], int | None]


class End(ABC):
    """What is read of a text so far, from one of its ends on."""

    def __init__(self, data: bytes) -> None:
        """data: UTF-8."""
        self.text = ""
        self._data = data
        self._used = 0  # bytes from this end on that are decoded or left out
        self._gaps: set[int] = set()  # as many characters from this end

    @property
    def is_whole(self) -> bool:
        return self._used >= len(self._data)

    @property
    @abstractmethod
    def gaps(self) -> list[int]:
        """Before which characters of the text something is left out."""

    def grow(self, size: int) -> None:
        """Reads so many bytes more, or what is left."""
        part = self._part(size)
        self._used += len(part)
        self.text = self._joined(self.text, part.decode())

    def further(self, skipped: int = 0) -> str:
        """What would be read next, or after some bytes that are skipped."""
        return self._part(CONTEXT_BYTES, skipped).decode()

    def beyond(self, character: str) -> str:
        """What would be read next after all repetitions of a character."""
        return self.further(self._repeated(character.encode()))

    def beyond_blanks(self) -> str:
        """What would be read next after all white space."""
        skipped = 0
        while (part := self._part(BLOCK_BYTES, skipped)) and not part.decode().strip():
            skipped += len(part)
        return self._stripped(part.decode())

    def skip(self, removable: Removable, size: int, times: float = inf) -> Slices[None]:
        """Leaves out what would be read next, so many bytes at once, as long as that may be.

        times  at most, where it does not repeat itself
        """
        while times > 0 and (part := self._part(size)) and (rest := self.further(len(part))):
            tokens = self._try(removable, part.decode(), rest)
            copies = self._repeated(part) // len(part)
            if tokens is None or (tokens and copies < 2):
                break
            # One copy stays, so that all that go have the same neighbours.
            gone = max(1, copies - 1)
            self._gaps.add(len(self.text))
            self._used += gone * len(part)
            times -= 1
            yield False

    def fold(self, unit: str, kept: int) -> int:
        """Leaves out what would be read next as far as it repeats a unit, but for some copies.

        returns  copies that are left out
        """
        part = unit.encode()
        copies = max(0, self._repeated(part) // len(part) - kept)
        if copies:
            self._gaps.add(len(self.text))
            self._used += copies * len(part)
        return copies

    @abstractmethod
    def edge(self, characters: int) -> str:
        """The text that was read last, at most so many characters."""

    @abstractmethod
    def _part(self, size: int, skipped: int = 0) -> bytes:
        """What comes next, whole characters, at least `size` bytes or all; some bytes skipped."""

    @abstractmethod
    def _repeated(self, part: bytes) -> int:
        """How many bytes come next that only repeat the part."""

    @abstractmethod
    def _joined(self, text: str, part: str) -> str:
        """The text with what comes next to it."""

    @abstractmethod
    def _stripped(self, part: str) -> str:
        """What comes next without the white space that comes first."""

    @abstractmethod
    def _try(self, removable: Removable, part: str, rest: str) -> int | None:
        """What is lost if a part is left out between what is read and the rest."""


class Head(End):
    """The front of a text: grows to the right."""

    @property
    def gaps(self) -> list[int]:
        return list(self._gaps)

    def edge(self, characters: int) -> str:
        return self.text[-characters:]

    def drop(self, characters: int) -> None:
        """Forgets the first characters."""
        self.text = self.text[characters:]
        self._gaps = {gap - characters for gap in self._gaps if gap > characters}

    def _part(self, size: int, skipped: int = 0) -> bytes:
        start = self._used + skipped
        end = start + size
        while end < len(self._data) and _continues(self._data[end]):
            end += 1
        return self._data[start:end]

    def _repeated(self, part: bytes) -> int:
        end = self._used
        for unit in _units(part):
            while self._data.startswith(unit, end):
                end += len(unit)
        return end - self._used

    def _joined(self, text: str, part: str) -> str:
        return text + part

    def _stripped(self, part: str) -> str:
        return part.lstrip()

    def _try(self, removable: Removable, part: str, rest: str) -> int | None:
        return removable(self.text[-CONTEXT_BYTES:], part, rest)


class Tail(End):
    """The back of a text: grows to the left."""

    @property
    def gaps(self) -> list[int]:
        return [len(self.text) - gap for gap in self._gaps]

    def edge(self, characters: int) -> str:
        return self.text[:characters]

    def _part(self, size: int, skipped: int = 0) -> bytes:
        end = max(0, len(self._data) - self._used - skipped)
        start = max(0, end - size)
        while 0 < start < end and _continues(self._data[start]):
            start -= 1
        return self._data[start:end]

    def _repeated(self, part: bytes) -> int:
        start = stop = len(self._data) - self._used
        for unit in _units(part):
            while self._data.endswith(unit, 0, start):
                start -= len(unit)
        return stop - start

    def _joined(self, text: str, part: str) -> str:
        return part + text

    def _stripped(self, part: str) -> str:
        return part.rstrip()

    def _try(self, removable: Removable, part: str, rest: str) -> int | None:
        return removable(rest, part, self.text[:CONTEXT_BYTES])


def _units(part: bytes) -> list[bytes]:
    """The part many times, to go fast, and once, to go far."""
    return [part * (BLOCK_BYTES // len(part) + 1), part] if part else []


def _continues(byte: int) -> bool:
    """Whether a byte is not the first of its character: 10xxxxxx."""
    return byte & 0xC0 == 0x80
