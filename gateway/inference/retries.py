"""How much may be sent to a second Triton because a first one was lost.

Without a bound, Tritons that fail under load would get all their load once more. The bound must not
bite when one Triton of several dies with all that it had, so it is counted in tokens and not in
calls: twice what the windows let one Triton have may be retried at once, and then a fifth of what
is sent, or that much again in ten seconds.
"""

import time
from collections.abc import Callable

AT_ONCE = 2.0  # windows of one Triton
SHARE = 0.2  # of the tokens that are sent
REFILL_SECONDS = 10.0


class RetryBudget:
    """The tokens that were retried of late, as a debt that is paid off by others and by time.

    clock  seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._debt = 0.0
        self._seen_at = clock()

    def pay(self, tokens: int) -> None:
        """Counts what was sent for the first time."""
        if self._debt:
            self._debt = max(self._debt - SHARE * tokens, 0.0)

    def take(self, tokens: int, window_tokens: int) -> bool:
        """Whether so many tokens may be retried; if so, they are counted.

        window_tokens  that one Triton may have at a time
        """
        most = AT_ONCE * max(window_tokens, tokens)
        now = self._clock()
        paid = (now - self._seen_at) * most / REFILL_SECONDS
        self._debt, self._seen_at = max(self._debt - paid, 0.0), now
        if self._debt + tokens > most:
            return False
        self._debt += tokens
        return True
