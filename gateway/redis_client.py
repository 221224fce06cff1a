"""The client of the Redis that gateways share, if there is one."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from gateway.settings import PREFIX, Settings, SettingsError

if TYPE_CHECKING:
    from redis.asyncio import Redis

# Connections of one client; each answers thousands of questions a second.
MAX_CONNECTIONS = 8

_VARIABLE = f"{PREFIX}REDIS_URL"


def open_redis(settings: Settings, timeout_seconds: float) -> "Redis | None":
    """A client that connects when it is first used; None where no Redis is configured.

    timeout_seconds  for a connection, and for an answer

    Raises: SettingsError, without the URL, which may hold a password.
    """
    if not settings.redis_url:
        return None
    if find_spec("redis") is None:
        raise SettingsError(
            f"{_VARIABLE} is set and the package redis is missing:"
            " pip install 'triton-embeddings[redis]'"
        )
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    try:
        pool = BlockingConnectionPool.from_url(
            settings.redis_url,
            max_connections=MAX_CONNECTIONS,
            timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),  # the caller knows whether once more does harm
        )
        # Does not connect yet; raises for what it does not know behind the `?`.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):
        raise SettingsError(
            f"{_VARIABLE} is no URL such as redis://user:password@host:6379/0 or rediss://host"
        ) from None
    return Redis.from_pool(pool)
