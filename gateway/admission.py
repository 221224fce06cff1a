"""How much work this gateway lets in at once, in estimated tokens."""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import Overloaded


class Admission:
    """A bound on the tokens in flight; what is above it is turned away at once.

    max_tokens  estimated tokens of all admitted and unanswered calls
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._in_flight = 0

    @contextmanager
    def admit(self, tokens: int) -> Iterator[None]:
        """Holds a place for `tokens` while the block runs.

        A single call above the bound is admitted when nothing else runs: it would never be.

        Raises: Overloaded.
        """
        if self._in_flight and self._in_flight + tokens > self._max_tokens:
            raise Overloaded("too many tokens are in flight, try again")
        self._in_flight += tokens
        try:
            yield
        finally:
            self._in_flight -= tokens
