"""Limits of keys in requests and tokens a minute: what a call is charged, and what headers say.

A call is charged one request and its estimated tokens when it is about to be embedded, or refused
and charged nothing. Once its tokens are known the charge is corrected; a call that fails here gets
its tokens back, one whose caller leaves does not: Triton does its work all the same.
"""

import time
from collections.abc import Callable
from math import ceil
from types import TracebackType
from typing import Protocol

from gateway.access.keys import Key
from gateway.access.minutes import Limit, LocalMinutes, Standing, exceeded_by
from gateway.access.shared_minutes import TIMEOUT_SECONDS, RedisAway, SharedMinutes
from gateway.errors import AboveLimit, HungUp, LimitsAway, RateLimited
from gateway.redis_client import open_redis
from gateway.settings import Settings

Headers = dict[str, str]


class Minutes(Protocol):
    """Where a charge is corrected."""

    def correct(self, key: Key, minute: object, tokens: int) -> None: ...


class Limits:
    """Charges calls against the limits of their keys.

    shared        counts for all gateways; without it, and while it does not answer, each counts by
                  itself
    is_closed     whether calls are refused instead while it does not answer
    note_refused  is told of every call that was above a limit: the key's name, and which
    """

    def __init__(
        self,
        shared: SharedMinutes | None = None,
        *,
        is_closed: bool = False,
        note_refused: Callable[[str, Limit], object] = lambda name, limit: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._local = LocalMinutes(clock)
        self._shared = shared
        self._is_closed = is_closed
        self._note_refused = note_refused
        self._used_up: dict[bytes, tuple[Standing, float]] = {}  # by requests, and when it was so

    def refuse_used_up(self, key: Key) -> None:
        """Refuses a key whose requests are known to be used up, before its body is read.

        Raises: RateLimited.
        """
        if key.requests_per_minute is None or key.digest not in self._used_up:
            return
        standing, since = self._used_up[key.digest]
        ends_in = standing.ends_in - (self._clock() - since)
        if ends_in <= 0 or standing.requests < key.requests_per_minute:  # it was given more
            del self._used_up[key.digest]
        else:
            self._note_refused(key.name, "requests")
            raise _refusal(key, standing._replace(ends_in=ends_in))

    async def charge(self, key: Key, tokens: int) -> "Charge":
        """Charges a call of so many estimated tokens.

        Raises: RateLimited, AboveLimit, LimitsAway.
        """
        if key.requests_per_minute is None and key.tokens_per_minute is None:
            return FREE
        if exceeded_by(key, 0, tokens):
            self._note_refused(key.name, "tokens")
            raise AboveLimit(tokens, key.tokens_per_minute or 0)
        minutes: Minutes = self._local
        if self._shared is None:
            standing = self._local.count(key, tokens)
        else:
            try:
                standing, minutes = await self._shared.count(key, tokens), self._shared
            except RedisAway:
                if self._is_closed:
                    raise LimitsAway from None
                standing = self._local.count(key, tokens)
        if standing.exceeded:
            if standing.exceeded == "requests":
                self._used_up[key.digest] = standing, self._clock()
            self._note_refused(key.name, standing.exceeded)
            raise _refusal(key, standing)
        return Charge(key, tokens, standing, minutes, self._clock)

    @property
    def are_shared(self) -> bool:
        """Whether a Redis counts for all gateways, now."""
        return self._shared is not None and self._shared.is_up

    async def open(self) -> None:
        """Looks whether Redis is there, so that one that is not is in the log from the start."""
        if self._shared:
            await self._shared.look()

    async def close(self) -> None:
        """Ends what is on its way to Redis."""
        if self._shared:
            await self._shared.close()


def open_limits(
    settings: Settings,
    *,
    note_refused: Callable[[str, Limit], object],
    note_error: Callable[[], object],
) -> Limits:
    """The limits, counted where the settings say.

    note_error  is told of every call that Redis did not count

    Raises: SettingsError.
    """
    redis = open_redis(settings, TIMEOUT_SECONDS)
    return Limits(
        SharedMinutes(redis, note_error) if redis else None,
        is_closed=settings.redis_failure == "closed",
        note_refused=note_refused,
    )


class Charge:
    """What one call was charged. As a context, it gives the tokens back if the call fails in it."""

    __slots__ = ("_clock", "_counted_at", "_key", "_minutes", "_standing", "_tokens")

    def __init__(
        self,
        key: Key,
        tokens: int,
        standing: Standing,
        minutes: Minutes,
        clock: Callable[[], float],
    ) -> None:
        self._key = key
        self._tokens = tokens
        self._standing = standing
        self._minutes = minutes
        self._clock = clock
        self._counted_at = clock()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, HungUp):
            self.settle(0)

    def settle(self, tokens: int) -> None:
        """Corrects the charge to the tokens that were embedded."""
        if self._key.tokens_per_minute is not None and tokens != self._tokens:
            more = tokens - self._tokens
            self._minutes.correct(self._key, self._standing.minute, more)
            self._standing = self._standing._replace(tokens=self._standing.tokens + more)
            self._tokens = tokens

    @property
    def headers(self) -> Headers:
        """What the answer says of the limits."""
        ends_in = self._standing.ends_in - (self._clock() - self._counted_at)
        return _headers(self._key, self._standing._replace(ends_in=max(ends_in, 0.0)))


class _Free(Charge):
    """The charge of calls whose keys have no limits."""

    def __init__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def settle(self, tokens: int) -> None:
        pass

    @property
    def headers(self) -> Headers:
        return {}


FREE: Charge = _Free()


def _refusal(key: Key, standing: Standing) -> RateLimited:
    limit = key.requests_per_minute if standing.exceeded == "requests" else key.tokens_per_minute
    used = standing.requests if standing.exceeded == "requests" else standing.tokens
    assert standing.exceeded
    assert limit is not None
    return RateLimited(
        standing.exceeded,
        limit=limit,
        remaining=max(limit - used, 0),
        seconds=standing.ends_in,
        reset=ceil(time.time() + standing.ends_in),
        limit_headers=_headers(key, standing),
    )


def _headers(key: Key, standing: Standing) -> Headers:
    """OpenAI's names."""
    headers: Headers = {}
    reset = render_duration(standing.ends_in)
    for what, limit, used in (
        ("requests", key.requests_per_minute, standing.requests),
        ("tokens", key.tokens_per_minute, standing.tokens),
    ):
        if limit is not None:
            headers[f"x-ratelimit-limit-{what}"] = str(limit)
            headers[f"x-ratelimit-remaining-{what}"] = str(max(limit - used, 0))
            headers[f"x-ratelimit-reset-{what}"] = reset
    return headers


def render_duration(seconds: float) -> str:
    """As OpenAI writes durations: `20ms`, `1.2s`, `1m0s`; rounded up, so that waiting is enough."""
    milliseconds = ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{f'{minutes}m' if minutes else ''}{rest / 1000:g}s"
