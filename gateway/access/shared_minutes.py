"""What keys used of their limits in their minute, counted in Redis for all gateways together.

One script counts a call against both limits or not at all, in one round trip. While Redis does
not answer, one call a second tries it and the others do not wait.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gateway.access.keys import Key
from gateway.access.minutes import MINUTE_SECONDS, Limit, Standing
from gateway.redis_client import MAX_CONNECTIONS

if TYPE_CHECKING:
    from redis.asyncio import Redis

# Redis answers within a millisecond. This process may be busy longer than that: a body of 4 MiB
# takes 50 ms to parse, and a tenth of a second would call a Redis gone that is not.
TIMEOUT_SECONDS = 0.5
PAUSE_SECONDS = 1.0

_PREFIX = "triton-embeddings:minute:"
_LIMITS: tuple[Limit | None, ...] = (None, "requests", "tokens")

# A minute is a hash that Redis forgets when it is over. Where more than a minute is left of it, the
# clock of Redis was set back. Arguments: the milliseconds of a minute, a name for one that begins,
# tokens of the call, both limits, -1 for none.
_COUNT = """
local left = redis.call('PTTL', KEYS[1])
if left < 0 or left > tonumber(ARGV[1]) then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'name', ARGV[2], 'requests', 0, 'tokens', 0)
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
local minute = redis.call('HMGET', KEYS[1], 'name', 'requests', 'tokens')
local requests, tokens = tonumber(minute[2]), tonumber(minute[3])
local function is_above(count, limit)
  return limit >= 0 and count > limit
end
local exceeded = 0
if is_above(requests + 1, tonumber(ARGV[4])) then
  exceeded = 1
elseif is_above(tokens + tonumber(ARGV[3]), tonumber(ARGV[5])) then
  exceeded = 2
else
  requests = redis.call('HINCRBY', KEYS[1], 'requests', 1)
  tokens = redis.call('HINCRBY', KEYS[1], 'tokens', ARGV[3])
end
return {exceeded, requests, tokens, left, minute[1]}
"""

_CORRECT = """
if redis.call('HGET', KEYS[1], 'name') == ARGV[1] then
  redis.call('HINCRBY', KEYS[1], 'tokens', ARGV[2])
end
"""

logger = logging.getLogger(__name__)


class RedisAway(Exception):
    """Redis does not answer, or says that it cannot."""


class SharedMinutes:
    """The minutes of all keys, in a Redis.

    note_error  is told of every call that could not be counted
    clock       seconds
    is_up       whether Redis answered the last time
    """

    def __init__(
        self,
        redis: "Redis",
        note_error: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._note_error = note_error
        self._clock = clock
        self._count = redis.register_script(_COUNT)
        self._correct = redis.register_script(_CORRECT)
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        self._corrections: set[asyncio.Task[None]] = set()
        self._try_again_at = 0.0
        self.is_up = True

    async def look(self) -> None:
        """Asks whether Redis is there."""
        with suppress(RedisAway):
            await self._ask(self._redis.ping)

    async def count(self, key: Key, tokens: int) -> Standing:
        """Counts a call of so many tokens, unless it is above a limit.

        Raises: RedisAway.
        """
        exceeded, requests, used, left, minute = await self._ask(
            self._count,
            [_name(key)],
            [
                int(MINUTE_SECONDS * 1000),
                secrets.token_hex(8),
                tokens,
                _or_none(key.requests_per_minute),
                _or_none(key.tokens_per_minute),
            ],
        )
        return Standing(requests, used, left / 1000, minute, _LIMITS[exceeded])

    def correct(self, key: Key, minute: Hashable, tokens: int) -> None:
        """Adds tokens to what was counted, or takes some off, if that minute still runs.

        Nobody waits for it; it is lost if Redis is away, and with the minute.
        """
        task = asyncio.create_task(self._send_correction(key, minute, tokens))
        self._corrections.add(task)
        task.add_done_callback(self._corrections.discard)

    async def _send_correction(self, key: Key, minute: Hashable, tokens: int) -> None:
        with suppress(RedisAway):
            await self._ask(self._correct, [_name(key)], [minute, tokens])

    async def _ask(self, command: Callable[..., Any], *arguments: Any) -> Any:
        """What a command returns; sent once, since it may have run although no answer came.

        Raises: RedisAway.
        """
        from redis.exceptions import RedisError

        async with self._turns:  # waiting for one is not waiting for Redis
            now = self._clock()
            if now < self._try_again_at:
                self._note_error()
                raise RedisAway
            if not self.is_up:
                self._try_again_at = now + PAUSE_SECONDS  # the others need not wait for this one
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    answer = await command(*arguments)
            except (RedisError, OSError, TimeoutError) as error:
                self._went(error)
                raise RedisAway from error
            self._came()
            return answer

    def _went(self, error: Exception) -> None:
        self._note_error()
        self._try_again_at = self._clock() + PAUSE_SECONDS
        if self.is_up:
            self.is_up = False
            reason = " ".join(f"{type(error).__name__} {error}".split())[:200]
            logger.warning("Redis does not answer: %s", reason)

    def _came(self) -> None:
        if not self.is_up:
            self.is_up, self._try_again_at = True, 0.0
            logger.warning("Redis answers again")

    async def close(self) -> None:
        """Ends what is on its way, and the connections."""
        await asyncio.gather(*self._corrections)
        await self._redis.aclose()  # with its connections


def _name(key: Key) -> str:
    return _PREFIX + key.digest.hex()[:32]


def _or_none(limit: int | None) -> int:
    return -1 if limit is None else limit
