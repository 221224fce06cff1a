"""Whose chunk goes to a model next: two lanes, each with windows of tokens shared by its callers.

Chunks of big calls take the bulk lane, small calls the interactive one, so that neither fills the
other's place. What Triton has of both goes by the encoder's order. On a CPU that is every other
micro-batch for the oldest request (`export/steps/batching/`). An encoder that answers in the
order of arrival makes both lanes wait equally long, and then the ratio of their rates is that of
their windows. Neither goes first and neither starves.

What waits, waits here: in an order that is fair between callers, and gone once it is cancelled.
A lane stands before all Tritons: each has a window of its own in it, and the next chunk goes to
the one of them that has the least to do. What a Triton has keeps its place until that Triton has
answered, whoever is left to hear it.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Hashable
from typing import Generic, TypeAlias, TypeVar

from gateway.access.keys import Caller
from gateway.errors import UpstreamError
from gateway.inference.windows import ANY, FindWindows, Load, Window, Windows, Wish

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


_Queues: TypeAlias = dict[Caller, OrderedDict[asyncio.Future[Window], int]]


class Lane:
    """Windows on the tokens in flight, shared by API key, and within a key by connection.

    window_tokens  of the only window, where no others are found
    find_windows   those of the Tritons that a chunk may go to
    """

    def __init__(self, window_tokens: int, find_windows: FindWindows | None = None) -> None:
        self.waiting_tokens = 0
        self.in_flight_tokens = 0
        self._window = Window(window_tokens, Load())
        self._find_windows = find_windows or (lambda wish: (self._window,))
        self._keys: Turns[bytes] = Turns(window_tokens)
        self._connections: defaultdict[bytes, Turns[Caller]] = defaultdict(
            lambda: Turns(self._keys.credit_tokens)
        )
        self._waiting: dict[Wish, dict[bytes, _Queues]] = {}

    @property
    def window_tokens(self) -> int:
        return self._window.size_tokens

    def resize(self, window_tokens: int) -> None:
        """Widen or narrow the window, and with it how far a caller falls behind."""
        if window_tokens == self._window.size_tokens:
            return
        self._window.size_tokens = window_tokens
        self._keys.credit_tokens = window_tokens
        for turns in self._connections.values():
            turns.credit_tokens = window_tokens
        self.hand_out()

    async def take(self, caller: Caller, tokens: int, wish: Wish = ANY) -> Window:
        """Waits for the caller's turn; then `tokens` of a window are taken until given back.

        Raises: UpstreamError if there is no Triton to go to.
        """
        if wish not in self._waiting and (window := self._choose(wish, tokens)):
            self._take(caller, tokens, window)
            return window
        return await self._wait(caller, tokens, wish)

    def give_back(self, tokens: int, window: Window | None = None) -> None:
        """Frees what was taken, for whose turn it is."""
        self.in_flight_tokens -= tokens
        (window or self._window).give_back(tokens)
        self.hand_out()

    def charge(self, caller: Caller, tokens: int) -> None:
        """Counts tokens as served to a caller, beside those taken: guesses were too low."""
        self._keys.charge(caller.key, tokens)
        self._connections[caller.key].charge(caller, tokens)

    def hand_out(self) -> None:
        """Room to whose turn it is; to be called too when there are other Tritons than before.

        What has been at a Triton that was lost goes first, and all others wait for it.
        """
        if not self._waiting:
            return
        for wish in sorted(self._waiting, key=_was_not_lost):
            if not self._hand_out_to(wish) and wish.tried:
                return

    async def _wait(self, caller: Caller, tokens: int, wish: Wish) -> Window:
        turn: asyncio.Future[Window] = asyncio.get_running_loop().create_future()
        queues = self._waiting.setdefault(wish, {}).setdefault(caller.key, {})
        queues.setdefault(caller, OrderedDict())[turn] = tokens
        self.waiting_tokens += tokens
        try:
            # Shielded: a cancelled turn could be handed out before its waiter forgets it.
            return await asyncio.shield(turn)
        except asyncio.CancelledError:
            if not turn.done():
                self._forget(wish, caller, turn)
                self.hand_out()
            elif turn.exception() is None:
                self.give_back(tokens, turn.result())
            raise

    def _forget(self, wish: Wish, caller: Caller, turn: asyncio.Future[Window]) -> None:
        keys = self._waiting[wish]
        queues = keys[caller.key]
        self.waiting_tokens -= queues[caller].pop(turn)
        if not queues[caller]:
            del queues[caller]
        if not queues:
            del keys[caller.key]
        if not keys:
            del self._waiting[wish]

    def _choose(self, wish: Wish, tokens: int) -> Window | None:
        """The window with room at the Triton that has the least to do.

        Raises: UpstreamError.
        """
        chosen = None
        for window in self._find_windows(wish):
            if window.has_room(tokens) and (chosen is None or window.is_freer(chosen)):
                chosen = window
        return chosen

    def _take(self, caller: Caller, tokens: int, window: Window) -> None:
        self.in_flight_tokens += tokens
        window.take(tokens)
        self.charge(caller, tokens)

    def _hand_out_to(self, wish: Wish) -> bool:
        """Whether nothing is left that waits with this wish."""
        while keys := self._waiting.get(wish):
            key = self._keys.next(keys)
            queues = keys[key]
            caller = self._connections[key].next(queues)
            turn, tokens = next(iter(queues[caller].items()))
            try:
                window = self._choose(wish, tokens)
            except UpstreamError as error:
                self._forget(wish, caller, turn)
                turn.set_exception(error)
                continue
            if window is None:
                return False
            self._forget(wish, caller, turn)
            self._take(caller, tokens, window)
            turn.set_result(window)
        return True


def _was_not_lost(wish: Wish) -> bool:
    return not wish.tried


class Lanes:
    """Both lanes of one model: an encoder that is slow or stuck holds nobody up but its own.

    find_bulk, find_interactive  windows of the Tritons that a chunk may go to
    """

    def __init__(
        self,
        windows: Windows,
        find_bulk: FindWindows | None = None,
        find_interactive: FindWindows | None = None,
    ) -> None:
        self._windows = windows
        self.bulk = Lane(windows.bulk, find_bulk)
        self.interactive = Lane(windows.interactive, find_interactive)
        self._small_call_tokens = windows.small_call
        self._micro_batch_tokens = 0

    def fit(self, micro_batch_tokens: int) -> None:
        """Widen the windows for what the model's encoder takes at a time; narrow them again."""
        if micro_batch_tokens == self._micro_batch_tokens:
            return
        self._micro_batch_tokens = micro_batch_tokens
        windows = self._windows.fit(micro_batch_tokens)
        self.bulk.resize(windows.bulk)
        self.interactive.resize(windows.interactive)

    def lane_of(self, call_tokens: int) -> Lane:
        """The lane of every chunk of a call of so many estimated tokens."""
        return self.interactive if call_tokens <= self._small_call_tokens else self.bulk

    def hand_out(self) -> None:
        """There are other Tritons than before."""
        self.bulk.hand_out()
        self.interactive.hand_out()
