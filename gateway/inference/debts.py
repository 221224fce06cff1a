"""Who spoiled requests that others shared, and travels alone until that is made good."""

from collections.abc import Hashable

from gateway.access.keys import Caller

# Tokens of his own for each that had to be asked for again: who spoils whatever he can costs the
# others an eighth of what he has embedded.
TIMES = 8
# Callers remembered; a bound on memory, not on callers.
MAX_CALLERS = 1024


class Debts:
    """Tokens that callers owe to those whose company they were.

    It is by API key; where there is none by host, since connections cost nothing.
    """

    def __init__(self) -> None:
        self._owed: dict[Hashable, int] = {}

    def owes(self, caller: Caller) -> bool:
        return bool(self._owed) and _who(caller) in self._owed

    def add(self, caller: Caller, tokens: int) -> None:
        """A text of his failed a request of so many tokens."""
        who = _who(caller)
        self._owed[who] = self._owed.pop(who, 0) + TIMES * tokens
        if len(self._owed) > MAX_CALLERS:
            del self._owed[next(iter(self._owed))]

    def pay(self, caller: Caller, tokens: int) -> None:
        """He was embedded so many, alone."""
        who = _who(caller)
        left = self._owed.pop(who, 0) - tokens
        if left > 0:
            self._owed[who] = left


def _who(caller: Caller) -> Hashable:
    connection = caller.connection
    return caller.key or (connection[0] if isinstance(connection, tuple) else connection)
