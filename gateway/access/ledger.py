"""What this gateway holds, and of whom: bytes in its memory, and tokens until Triton is done.

A call has one entry, from the first byte of its body until its answer is sent. What a caller
leaves behind stays his: what Triton has counts until Triton has answered, whoever is left to hear.

    hold ──▶ bytes ──close──▶ gone
    admit ──▶ waiting ──close──▶ gone
                 └──send──▶ at Triton ──answered──▶ gone

Room is shared so that nobody takes it all. A key gets room for big work while it holds no more
than what is left for everybody: one key can take half, two a third each. For small work, such as
questions, it may hold three times what is left.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from math import ceil, exp, inf

from gateway.access.keys import Caller, unnamed_key
from gateway.errors import LONGEST_RETRY_AFTER_SECONDS, Overloaded

# How many times what is left for everybody a key may hold.
BIG_SHARE = 1.0
SMALL_SHARE = 3.0
# Bytes up to which a body counts as small: 64 questions of a kilobyte.
SMALL_BYTES = 64 * 1024
# Of what is answered, what small calls get at least while big ones fill their lane: by the windows
# of both.
SMALL_LANE_SHARE = 1 / 3
# Seconds of work after which an answer counts a third for the rate.
RATE_HORIZON_SECONDS = 10.0


class Room:
    """A bound on what all keys hold together.

    size   of bytes, or of tokens
    small  up to which a piece of work counts as small
    """

    def __init__(self, size: int, small: int) -> None:
        self.size = size
        self._small = small
        self.held = 0
        self.held_by: Counter[bytes] = Counter()

    def take(self, key: bytes, amount: int, before: int = 0) -> bool:
        """Takes room if there is some; what nothing else stands beside always fits.

        before  what the same piece of work holds already
        """
        if self.held > before and not self._fits(key, amount, before + amount):
            return False
        self.take_anyway(key, amount)
        return True

    def take_anyway(self, key: bytes, amount: int) -> None:
        self.held += amount
        self.held_by[key] += amount

    def give_back(self, key: bytes, amount: int) -> None:
        self.held -= amount
        self.held_by[key] -= amount
        if not self.held_by[key]:
            del self.held_by[key]

    def _fits(self, key: bytes, amount: int, total: int) -> bool:
        left = self.size - self.held - amount
        own = self.held_by[key] + amount  # a Counter: 0 for who holds nothing, and nothing is kept
        share = SMALL_SHARE if total <= self._small else BIG_SHARE
        return left >= 0 and (own == total or own <= share * left)


class Ledger:
    """The accounts of one gateway.

    max_bytes   of bodies, texts and embeddings held at once
    max_tokens  estimated tokens that wait or that Triton has, for each Triton that is well
    tritons     how many those are
    max_wait_seconds  of each lane no more may wait than it gets answered in that time
    least_tokens      of each lane that may wait however long they take
    small_tokens  up to which a call counts as small
    name_of     what metrics call the key of a digest
    clock       seconds
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        max_tokens: int,
        small_tokens: int,
        tritons: Callable[[], int] = lambda: 1,
        max_wait_seconds: float = inf,
        least_tokens: int = 0,
        name_of: Callable[[bytes], str] = lambda digest: unnamed_key(digest).name,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bytes = Room(max_bytes, SMALL_BYTES)
        self._tokens = Room(max_tokens, small_tokens)
        self._max_tokens = max_tokens
        self._small_tokens = small_tokens
        # What small calls hold and what the others do: those have a lane of their own each.
        self._small_lane = Room(max_tokens, small_tokens)
        self._big_lane = Room(max_tokens, small_tokens)
        self._tritons = tritons
        self._max_wait_seconds = max_wait_seconds
        self._least_tokens = least_tokens
        self._name_of = name_of
        self._at_triton: Counter[bytes] = Counter()
        self._waiting_tokens = 0
        self._rate = _Rate(clock)
        self._capacity = _Rate(clock)  # while something waits, which is when it shows

    def open(self, caller: Caller) -> "Entry":
        """The entry of a new call."""
        return Entry(self, caller)

    def held_bytes(self) -> Mapping[tuple[str, ...], int]:
        """Bytes by the name of the key, of those that hold any."""
        return {(self._name_of(key),): held for key, held in self._bytes.held_by.items()}

    def held_tokens(self) -> Mapping[tuple[str, ...], int]:
        """Estimated tokens by name of the key and stage, of those that hold any."""
        tokens: dict[tuple[str, ...], int] = {}
        for key, held in self._tokens.held_by.items():
            name = self._name_of(key)
            tokens[name, "triton"] = self._at_triton[key]
            tokens[name, "waiting"] = held - self._at_triton[key]
        return tokens

    def _hold(self, key: bytes, more: int, before: int) -> None:
        if not self._bytes.take(key, more, before):
            raise Overloaded("too many bytes are held, try again", self._retry_after())

    def _lane_of(self, tokens: int) -> Room:
        """What all calls hold that take the lane of a call of so many tokens."""
        return self._small_lane if tokens <= self._small_tokens else self._big_lane

    def _admit(self, key: bytes, tokens: int, lane: Room) -> None:
        if not self._tokens.held:
            self._rate.begin()
            self._capacity.begin()
        # Several answer as many times faster, so that what waits waits no longer for them.
        self._tokens.size = self._max_tokens * max(self._tritons(), 1)
        lane.size = self._lane_tokens(1.0 if lane is self._big_lane else SMALL_LANE_SHARE)
        if not self._tokens.take(key, tokens):
            raise Overloaded("too many tokens are in flight, try again", self._retry_after())
        if not lane.take(key, tokens):
            self._tokens.give_back(key, tokens)
            raise Overloaded("too many tokens wait already, try again", self._retry_after())
        self._waiting_tokens += tokens

    def _lane_tokens(self, share: float) -> int:
        """What may be held of one lane.

        Calls that wait share what is done, so of more than can be answered in time hardly one is.

        share  of what is answered, that the lane gets at least
        """
        most = self._tokens.size
        seconds_per_token = self._capacity.seconds_per_token()
        if not seconds_per_token:
            return most
        in_time = share * self._max_wait_seconds / seconds_per_token
        return int(min(most, max(in_time, self._least_tokens)))

    def _answered(self, key: bytes, tokens: int, lane: Room) -> None:
        self._at_triton[key] -= tokens
        if not self._at_triton[key]:
            del self._at_triton[key]
        self._give_back(key, tokens, lane)
        self._rate.note(tokens)
        if self._waiting_tokens:
            self._capacity.note(tokens)
        else:
            self._capacity.begin()

    def _give_back(self, key: bytes, tokens: int, lane: Room) -> None:
        self._tokens.give_back(key, tokens)
        lane.give_back(key, tokens)

    def _retry_after(self) -> int:
        """Seconds until what is in flight is answered, at the rate of late."""
        seconds = ceil(self._tokens.held * self._rate.seconds_per_token())
        return min(max(seconds, 1), LONGEST_RETRY_AFTER_SECONDS)


class Entry:
    """What one call holds; `close` when its answer is sent, or nobody is left to read it.

    caller  whom it is accounted to
    """

    def __init__(self, ledger: Ledger, caller: Caller) -> None:
        self.caller = caller
        self._ledger = ledger
        self._bytes = 0
        self._waiting_tokens = 0
        self._lane = ledger._small_lane  # that of the call, once it is known

    def hold(self, total: int) -> None:
        """Sets the bytes that this call holds.

        Raises: Overloaded if there is no room for more; what it held it holds still.
        """
        if total > self._bytes:
            self._ledger._hold(self.caller.key, total - self._bytes, self._bytes)
        else:
            self._ledger._bytes.give_back(self.caller.key, self._bytes - total)
        self._bytes = total

    def admit(self, tokens: int) -> None:
        """Takes room for the work of this call, all of which waits at first, and again if repeated.

        Raises: Overloaded.
        """
        lane = self._lane if self._waiting_tokens else self._ledger._lane_of(tokens)
        self._ledger._admit(self.caller.key, tokens - self._waiting_tokens, lane)
        self._lane, self._waiting_tokens = lane, tokens

    def send(self, tokens: int) -> None:
        """Notes that Triton has a part of what waited."""
        self._waiting_tokens -= tokens
        self._ledger._waiting_tokens -= tokens
        self._ledger._at_triton[self.caller.key] += tokens

    def repeat(self, tokens: int) -> None:
        """Lets a part wait once more, for another Triton.

        Never refused: what it had was given back a moment ago, or is still at one that is silent,
        and how much is repeated has a bound of its own.
        """
        self._ledger._tokens.take_anyway(self.caller.key, tokens)
        self._lane.take_anyway(self.caller.key, tokens)
        self._ledger._waiting_tokens += tokens
        self._waiting_tokens += tokens

    def answered(self, tokens: int) -> None:
        """Notes that Triton is done with a part of what it had; also after `close`."""
        self._ledger._answered(self.caller.key, tokens, self._lane)

    def close(self) -> None:
        """Gives back all but what Triton still has; once more does no harm."""
        self.hold(0)
        if self._waiting_tokens:
            self._ledger._give_back(self.caller.key, self._waiting_tokens, self._lane)
            self._ledger._waiting_tokens -= self._waiting_tokens
            self._waiting_tokens = 0


class _Rate:
    """How long a token takes of late, while there is work."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._working_since = 0.0  # since the last answer, or since the gateway was idle
        self._tokens = 0.0  # answered of late, and the seconds of work that they took
        self._seconds = 0.0

    def begin(self) -> None:
        """Notes the end of idleness."""
        self._working_since = self._clock()

    def note(self, tokens: int) -> None:
        """Counts an answer."""
        now = self._clock()
        # Bounded, so that hours in which nothing was answered are soon forgotten.
        seconds = min(now - self._working_since, RATE_HORIZON_SECONDS)
        self._working_since = now
        remembered = exp(-seconds / RATE_HORIZON_SECONDS)
        self._tokens = self._tokens * remembered + tokens
        self._seconds = self._seconds * remembered + seconds

    def seconds_per_token(self) -> float:
        """0 before the first answer."""
        return self._seconds / self._tokens if self._tokens else 0.0
