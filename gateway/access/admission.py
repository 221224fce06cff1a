"""How much work this gateway lets in at once, in estimated tokens."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil, exp

from gateway.errors import Overloaded

# Seconds of work after which an answer counts a third for the rate.
RATE_HORIZON_SECONDS = 10.0
# Above it the strictest SDK ignores Retry-After.
LONGEST_RETRY_AFTER_SECONDS = 30


class Admission:
    """A bound on the tokens in flight; what is above it is turned away at once.

    max_tokens  estimated tokens of all admitted and unanswered calls
    clock       seconds
    """

    def __init__(self, max_tokens: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_tokens = max_tokens
        self._clock = clock
        self._in_flight = 0
        self._working_since = 0.0  # since the last answer, or since the gateway was idle
        self._answered_tokens = 0.0  # of late, and the seconds of work that they took
        self._answered_seconds = 0.0

    @contextmanager
    def admit(self, tokens: int) -> Iterator[None]:
        """Holds a place for `tokens` while the block runs.

        A single call above the bound is admitted when nothing else runs: it would never be.

        Raises: Overloaded.
        """
        if not self._in_flight:
            self._working_since = self._clock()
        elif self._in_flight + tokens > self._max_tokens:
            raise Overloaded("too many tokens are in flight, try again", self._retry_after())
        self._in_flight += tokens
        try:
            yield
            self._note_answer(tokens)
        finally:
            self._in_flight -= tokens

    def _note_answer(self, tokens: int) -> None:
        now = self._clock()
        # Bounded, so that hours in which nothing was answered are soon forgotten.
        seconds = min(now - self._working_since, RATE_HORIZON_SECONDS)
        self._working_since = now
        remembered = exp(-seconds / RATE_HORIZON_SECONDS)
        self._answered_tokens = self._answered_tokens * remembered + tokens
        self._answered_seconds = self._answered_seconds * remembered + seconds

    def _retry_after(self) -> int:
        """Seconds until what is in flight is answered, at the rate of late."""
        if not self._answered_tokens:
            return 1
        seconds = self._in_flight * self._answered_seconds / self._answered_tokens
        return min(max(ceil(seconds), 1), LONGEST_RETRY_AFTER_SECONDS)
