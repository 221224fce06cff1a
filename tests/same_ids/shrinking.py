"""The smallest text that still shows a difference, and what must be served before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Parts = TypeVar("Parts", str, list[str])


def shrink(parts: Parts, fails: Callable[[Parts], bool]) -> Parts:
    """Left out is whatever need not be there, first in large parts.

    parts  that fail: the letters of a text, or texts
    """
    size = max(1, len(parts) // 2)
    while True:
        start, before = 0, len(parts)
        while start < len(parts):
            fewer = parts[:start] + parts[start + size :]
            if fails(fewer):
                parts = fewer
            else:
                start += size
        if size == 1 and len(parts) == before:
            return parts
        size = max(1, size // 2)


def simplify(text: str, fails: Callable[[str], bool], plain: Sequence[str] = ("a", " ")) -> str:
    """With plain characters in the place of others, wherever that fails too."""
    for index, character in enumerate(text):
        for other in plain:
            changed = text[:index] + other + text[index + 1 :]
            if character not in plain and fails(changed):
                text = changed
                break
    return text
