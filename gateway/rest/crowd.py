"""Crowd: connections beyond what this process has file descriptors for.

Without it newcomers would be turned away by the system, unanswered, for as long as others hold
connections that they do not use, and nothing would be left to reach Triton with. So the connection
that has kept the gateway waiting for the longest gives its place to a newcomer.
"""

import asyncio
import logging
import resource
import time
from contextlib import suppress
from typing import Protocol

# Descriptors for all that is no client: Triton, files, Redis.
RESERVED = 64
# Between two lines in the log.
QUIET_SECONDS = 60.0

logger = logging.getLogger(__name__)


class Waiting(Protocol):
    """A connection of which the next word is the client's."""

    @property
    def transport(self) -> asyncio.Transport: ...


class Crowd:
    """Connections that wait for their clients, in the order in which they began to.

    most  connections at once
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[Waiting, None] = {}
        self._last_told = -QUIET_SECONDS

    def join(self, connection: Waiting) -> None:
        self._waiting[connection] = None

    def leave(self, connection: Waiting) -> None:
        self._waiting.pop(connection, None)

    def make_room(self, connections: int) -> None:
        """Cuts off who waited longest, if there are more connections than there may be."""
        if connections <= self._most or not self._waiting:
            return
        oldest = next(iter(self._waiting))
        self.leave(oldest)
        oldest.transport.abort()
        if time.monotonic() - self._last_told >= QUIET_SECONDS:
            self._last_told = time.monotonic()
            logger.warning("%d connections: those idle for longest give way", connections)


def raise_limit() -> int:
    """Takes all descriptors that this process may have.

    Returns the number of connections that they are enough for.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return max(1, soft - RESERVED) if soft != resource.RLIM_INFINITY else 2**20
