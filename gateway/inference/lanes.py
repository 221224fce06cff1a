"""Whose chunk goes to a model next: two lanes, each a window of tokens shared by its callers.

Chunks of big calls take the bulk lane, small calls the interactive one, so that neither fills the
other's place. What Triton has of both goes by the encoder's order. On a CPU that is every other
micro-batch for the oldest request (`export/steps/batching/`). An encoder that answers in the
order of arrival makes both lanes wait equally long, and then the ratio of their rates is that of
their windows. Neither goes first and neither starves.

What waits, waits here: in an order that is fair between callers, and gone once it is cancelled.
What Triton has keeps its place until Triton has answered, whoever is left to hear it.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Hashable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from gateway.access.keys import Caller

K = TypeVar("K", bound=Hashable)

# Callers remembered beyond those that still owe; a bound on memory, not on callers.
MAX_IDLE_CALLERS = 4096


class Turns(Generic[K]):
    """Least tokens first: the order in which callers get equal tokens, whatever they ask at a time.

    credit_tokens  how far a caller falls behind at most while it asks for nothing, and then catches
                   up: without it the gaps between small calls would be lost to their caller
    """

    def __init__(self, credit_tokens: int) -> None:
        self.credit_tokens = credit_tokens
        self._now = 0  # tokens that the caller served last had got before
        self._served: dict[K, int] = {}

    def next(self, waiting: Collection[K]) -> K:
        """The caller furthest behind; the one that waits longest among equals."""
        return next(iter(waiting)) if len(waiting) == 1 else min(waiting, key=self._tokens_of)

    def charge(self, caller: K, tokens: int) -> None:
        before = self._tokens_of(caller)
        self._now = max(self._now, before)
        self._served[caller] = before + tokens
        if len(self._served) > MAX_IDLE_CALLERS:
            floor = self._now - self.credit_tokens
            self._served = {key: served for key, served in self._served.items() if served > floor}

    def _tokens_of(self, caller: K) -> int:
        return max(self._served.get(caller, 0), self._now - self.credit_tokens)


class Lane:
    """A window on the tokens in flight, shared by API key, and within a key by connection.

    window_tokens  estimated tokens handed to Triton and unanswered; a chunk above it goes alone
    """

    def __init__(self, window_tokens: int) -> None:
        self.waiting_tokens = 0
        self.window_tokens = window_tokens
        self.in_flight_tokens = 0
        self._keys: Turns[bytes] = Turns(window_tokens)
        self._connections: defaultdict[bytes, Turns[Caller]] = defaultdict(
            lambda: Turns(self.window_tokens)
        )
        self._waiting: dict[bytes, dict[Caller, OrderedDict[asyncio.Future[None], int]]] = {}

    def resize(self, window_tokens: int) -> None:
        """Widen or narrow the window, for whose turn it is."""
        if window_tokens == self.window_tokens:
            return
        self.window_tokens = window_tokens
        self._keys.credit_tokens = window_tokens
        for turns in self._connections.values():
            turns.credit_tokens = window_tokens
        self._hand_out()

    async def take(self, caller: Caller, tokens: int) -> None:
        """Waits for the caller's turn; then `tokens` of the window are taken until given back."""
        if self._waiting or not self._has_room(tokens):
            await self._wait(caller, tokens)
        else:
            self._take(caller, tokens)

    def give_back(self, tokens: int) -> None:
        """Frees what was taken, for whose turn it is."""
        self.in_flight_tokens -= tokens
        self._hand_out()

    def charge(self, caller: Caller, tokens: int) -> None:
        """Counts tokens as served to a caller, beside those taken: guesses were too low."""
        self._keys.charge(caller.key, tokens)
        self._connections[caller.key].charge(caller, tokens)

    async def _wait(self, caller: Caller, tokens: int) -> None:
        turn = asyncio.get_running_loop().create_future()
        queues = self._waiting.setdefault(caller.key, {})
        queues.setdefault(caller, OrderedDict())[turn] = tokens
        self.waiting_tokens += tokens
        try:
            # Shielded: a cancelled turn could be handed out before its waiter forgets it.
            await asyncio.shield(turn)
        except asyncio.CancelledError:
            if turn.done():
                self.give_back(tokens)
            else:
                self._forget(caller, turn)
                self._hand_out()
            raise

    def _forget(self, caller: Caller, turn: asyncio.Future[None]) -> None:
        queues = self._waiting[caller.key]
        self.waiting_tokens -= queues[caller].pop(turn)
        if not queues[caller]:
            del queues[caller]
        if not queues:
            del self._waiting[caller.key]

    def _has_room(self, tokens: int) -> bool:
        in_flight = self.in_flight_tokens
        return not in_flight or in_flight + tokens <= self.window_tokens

    def _take(self, caller: Caller, tokens: int) -> None:
        self.in_flight_tokens += tokens
        self.charge(caller, tokens)

    def _hand_out(self) -> None:
        while self._waiting:
            key = self._keys.next(self._waiting)
            queues = self._waiting[key]
            caller = self._connections[key].next(queues)
            turn, tokens = next(iter(queues[caller].items()))
            if not self._has_room(tokens):
                return
            self._forget(caller, turn)
            self._take(caller, tokens)
            turn.set_result(None)


@dataclass(frozen=True, slots=True)
class Windows:
    """Estimated tokens: how many Triton has at a time of each lane, and which calls take which.

    small_call  up to which a whole call is interactive
    """

    bulk: int = 2048
    interactive: int = 1024
    small_call: int = 512

    def fit(self, micro_batch_tokens: int) -> "Windows":
        """The same, wide enough for an encoder that takes so many tokens at a time.

        Of bulk one micro-batch for each of two workers and as many that wait, which a GPU must not
        be without for a moment; the windows of a CPU have always been wider than that.
        """
        return replace(
            self,
            bulk=max(self.bulk, 4 * micro_batch_tokens),
            interactive=max(self.interactive, 2 * micro_batch_tokens),
        )


class Lanes:
    """Both lanes of one model: an encoder that is slow or stuck holds nobody up but its own."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self.bulk = Lane(windows.bulk)
        self.interactive = Lane(windows.interactive)
        self._small_call_tokens = windows.small_call

    def fit(self, micro_batch_tokens: int) -> None:
        """Widen the windows for what the model's encoder takes at a time; narrow them again."""
        windows = self._windows.fit(micro_batch_tokens)
        self.bulk.resize(windows.bulk)
        self.interactive.resize(windows.interactive)

    def lane_of(self, call_tokens: int) -> Lane:
        """The lane of every chunk of a call of so many estimated tokens."""
        return self.interactive if call_tokens <= self._small_call_tokens else self.bulk
