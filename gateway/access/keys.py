"""Who asks: API keys, known by their SHA-256 digests only, and the callers that use them."""

import hashlib
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from gateway.errors import KeyExpired, Unauthorized

_BEARER = re.compile(r"bearer +", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as the gateway knows it, which is never the key itself.

    name                 what logs, metrics and operators call it
    digest               SHA-256 of the key; empty where none is asked for
    models               ids of the models it may use; None is every model
    requests_per_minute  None is no limit, as for tokens_per_minute
    expires              moment from which on it is refused; None is never
    """

    name: str
    digest: bytes = field(default=b"", repr=False)
    models: frozenset[str] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    expires: datetime | None = None

    def may_use(self, model: str) -> bool:
        """Whether a model of this id is for this key."""
        return self.models is None or model in self.models


ANYBODYS_KEY = Key("anybody")


class Caller(NamedTuple):
    """Whom a call is accounted to.

    key         digest of the API key, empty if everybody is let in
    connection  of the client, as long as it lasts
    """

    key: bytes = b""
    connection: Hashable = None


ANYBODY = Caller()


def unnamed_key(digest: bytes) -> Key:
    """A key that has no name but the first 8 digits of its digest, and may do everything."""
    return Key(digest.hex()[:8] or ANYBODYS_KEY.name, digest)


class Keys:
    """The keys that are let in now; replaced as a whole, so that no call meets half of them.

    now  the wall clock, which alone tells when a key expires
    """

    def __init__(
        self, keys: Iterable[Key] = (), now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._now = now
        self.replace(keys)

    def replace(self, keys: Iterable[Key]) -> None:
        """Lets in these from now on, and no others; calls that were let in before go on."""
        self._by_digest = {key.digest: key for key in keys}

    def __iter__(self) -> Iterator[Key]:
        return iter(self._by_digest.values())

    def check(self, authorization: str | None) -> Key:
        """The key in `Bearer KEY` or a bare `KEY`, if it is known.

        How long the look-up takes depends on digests hashed with a secret of this process, so it
        tells nothing about a key, and does not grow with their number.

        Raises: Unauthorized, KeyExpired.
        """
        sent = _BEARER.sub("", (authorization or "").strip(), count=1)
        # Headers arrive as latin-1; a key of other characters was sent as its UTF-8 bytes.
        key = self._by_digest.get(hashlib.sha256(sent.encode("latin-1")).digest())
        if key is None:
            raise Unauthorized
        if key.expires is not None and key.expires <= self._now():
            raise KeyExpired(key.expires.isoformat())
        return key

    def name_of(self, digest: bytes) -> str:
        """What logs and metrics call the key of a digest, also when it is let in no more."""
        return (self._by_digest.get(digest) or unnamed_key(digest)).name
