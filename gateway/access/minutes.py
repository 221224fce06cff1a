"""What keys used of their limits in the minute that runs for them, counted in this process.

A key's minute begins with its first call and is over 60 seconds later, when nothing of it is left.
The clock is monotonic: one that is set back locks nobody out and lets nobody in.
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from gateway.access.keys import Key

MINUTE_SECONDS = 60.0

Limit = Literal["requests", "tokens"]


class Standing(NamedTuple):
    """Where a key stands, with the call that was counted, or without one that was not.

    requests, tokens  used in this minute
    ends_in           seconds until the minute is over
    minute            tells it from others of the same key
    exceeded          the limit that the call would have exceeded, in which case it was not counted
    """

    requests: int
    tokens: int
    ends_in: float
    minute: Hashable
    exceeded: Limit | None


def exceeded_by(key: Key, requests: int, tokens: int) -> Limit | None:
    """The limit of the key that so much in a minute is above."""
    if key.requests_per_minute is not None and requests > key.requests_per_minute:
        return "requests"
    if key.tokens_per_minute is not None and tokens > key.tokens_per_minute:
        return "tokens"
    return None


@dataclass(slots=True)
class _Minute:
    ends_at: float
    requests: int = 0
    tokens: int = 0


class LocalMinutes:
    """The minutes of all keys, in the memory of this process.

    clock  seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minutes: dict[bytes, _Minute] = {}  # of keys that ever called: no more than there are

    def count(self, key: Key, tokens: int) -> Standing:
        """Counts a call of so many tokens, unless it is above a limit."""
        now = self._clock()
        minute = self._minutes.get(key.digest)
        if minute is None or minute.ends_at <= now:
            minute = self._minutes[key.digest] = _Minute(now + MINUTE_SECONDS)
        exceeded = exceeded_by(key, minute.requests + 1, minute.tokens + tokens)
        if not exceeded:
            minute.requests += 1
            minute.tokens += tokens
        return Standing(
            minute.requests, minute.tokens, minute.ends_at - now, minute.ends_at, exceeded
        )

    def correct(self, key: Key, minute: Hashable, tokens: int) -> None:
        """Adds tokens to what was counted, or takes some off, if that minute still runs."""
        running = self._minutes.get(key.digest)
        if running is not None and running.ends_at == minute:
            running.tokens += tokens
