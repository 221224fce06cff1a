"""The cache that the settings ask for."""

import os

from gateway.caching.digests import DIGEST_BYTES, Digests
from gateway.caching.embedder import CachingEmbedder
from gateway.caching.store import MemoryStore
from gateway.inference.embedder import Embedder
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics


def cached(embedder: Embedder, settings: Settings, metrics: Metrics) -> Embedder:
    """The embedder behind its cache; the same one if there is to be none."""
    if settings.cache == "off":
        return embedder
    store = MemoryStore(settings.cache_bytes)
    digests = Digests(os.urandom(DIGEST_BYTES), is_shared=settings.cache_shared == "yes")
    metrics.cache_bytes.set_function(lambda: store.held_bytes)
    return CachingEmbedder(embedder, store, digests, metrics)
