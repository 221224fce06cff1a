"""The cache that the settings ask for."""

import os
from hashlib import blake2b
from pathlib import Path

from gateway.caching.digests import DIGEST_BYTES, Digests
from gateway.caching.embedder import CachingEmbedder
from gateway.caching.redis_store import TIMEOUT_SECONDS, RedisStore
from gateway.caching.store import MemoryStore, Store
from gateway.inference.embedder import Embedder
from gateway.redis_client import open_redis
from gateway.settings import PREFIX, Settings, SettingsError
from gateway.telemetry.metrics import Metrics

# Of a secret that a person could have chosen: what is kept outlasts a process.
LEAST_SECRET_CHARACTERS = 16


def cached(embedder: Embedder, settings: Settings, metrics: Metrics) -> Embedder:
    """The embedder behind its cache; the same one if there is to be none.

    Raises: SettingsError.
    """
    if settings.cache == "off":
        return embedder
    secret = _secret(settings)
    store: Store = (
        MemoryStore(settings.cache_bytes)
        if settings.cache == "memory"
        else _open_redis_store(settings, secret, metrics)
    )
    digests = Digests(secret, is_shared=settings.cache_shared == "yes")
    metrics.cache_bytes.set_function(lambda: store.held_bytes)
    return CachingEmbedder(embedder, store, digests, metrics)


def _secret(settings: Settings) -> bytes:
    """Nobody's but this process's, unless gateways share what they keep."""
    if settings.cache == "memory":
        return os.urandom(DIGEST_BYTES)
    secret = settings.cache_secret or _read_secret(settings.cache_secret_file)
    if len(secret) < LEAST_SECRET_CHARACTERS:
        raise SettingsError(
            f"{PREFIX}CACHE is redis and {PREFIX}CACHE_SECRET, or its file, has less than"
            f" {LEAST_SECRET_CHARACTERS} characters"
        )
    return blake2b(secret.encode(), digest_size=DIGEST_BYTES).digest()


def _read_secret(path: str) -> str:
    """Raises: SettingsError, without the path: it may be the secret in the wrong variable."""
    try:
        return Path(path).read_text().strip() if path else ""
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(f"{PREFIX}CACHE_SECRET_FILE cannot be read: {reason}") from None


def _open_redis_store(settings: Settings, secret: bytes, metrics: Metrics) -> RedisStore:
    redis = open_redis(settings, TIMEOUT_SECONDS)
    if redis is None:
        raise SettingsError(f"{PREFIX}CACHE is redis and {PREFIX}REDIS_URL is not set")
    return RedisStore(redis, secret, metrics.cache_errors.inc)
