"""RedisStore: records in a Redis that gateways share.

Redis is believed nothing: a record is sealed with the secret, so that who can write to Redis can
lose records and not change one. While Redis does not answer, everything is computed.
"""

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

# A megabyte of records takes 3 ms; above this Redis is as good as gone.
TIMEOUT_SECONDS = 0.2
# For which a Redis that did not answer is not asked.
PAUSE_SECONDS = 1.0
# After which a record is forgotten that Redis has kept until then: its `maxmemory` is the bound.
KEPT_SECONDS = 7 * 24 * 3600

# The number changes when records do.
_PREFIX = b"triton-embeddings:cache:1:"
_SEAL_BYTES = 16
_PERSON = b"record"  # keeps seals apart from digests of texts


class RedisStore:
    """The Store of several gateways.

    secret      of the cache, 1 to 64 bytes
    note_error  is told of every look-up and every record that Redis did not answer
    clock       seconds
    """

    held_bytes = 0

    def __init__(
        self,
        redis: "Redis",
        secret: bytes,
        note_error: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._secret = secret
        self._note_error = note_error
        self._clock = clock
        self._ask_again_at = float("-inf")
        self._is_up = True

    async def read(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        names = [_PREFIX + key for key in keys]
        sealed = await self._ask(lambda: self._redis.mget(names))
        if sealed is None:
            return [None] * len(keys)
        return [self._open(key, found) for key, found in zip(keys, sealed, strict=True)]

    async def write(self, records: Mapping[bytes, bytes]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for key, record in records.items():
            sealed = self._seal(key, record) + record
            pipeline.set(_PREFIX + key, sealed, ex=KEPT_SECONDS)
        await self._ask(pipeline.execute)

    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    def _open(self, key: bytes, sealed: bytes | None) -> bytes | None:
        """The record, if it is what was kept under this key."""
        if sealed is None:
            return None
        seal, record = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
        return record if hmac.compare_digest(seal, self._seal(key, record)) else None

    def _seal(self, key: bytes, record: bytes) -> bytes:
        """Of a record and its key, which ends where its digest does: no other pair reads alike."""
        seal = blake2b(key, digest_size=_SEAL_BYTES, key=self._secret, person=_PERSON)
        seal.update(record)
        return seal.digest()

    async def _ask(self, command: Callable[[], Awaitable[Any]]) -> Any:
        """What Redis answers; None if it does not."""
        from redis.exceptions import RedisError

        now = self._clock()
        if now < self._ask_again_at:
            self._note_error()
            return None
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                answer = await command()
        except (RedisError, OSError, TimeoutError) as error:
            self._note_error()
            self._ask_again_at = now + PAUSE_SECONDS
            if self._is_up:
                self._is_up = False
                logger.warning("the cache's Redis does not answer: %s", type(error).__name__)
            return None
        if not self._is_up:
            self._is_up = True
            logger.warning("the cache's Redis answers again")
        return answer
