"""Who asks: API keys, known by their SHA-256 digests only, and the callers that use them."""

import hashlib
import hmac
import re
from collections.abc import Hashable, Set
from typing import NamedTuple

from gateway.errors import Unauthorized

_BEARER = re.compile(r"bearer +", re.IGNORECASE)


class Caller(NamedTuple):
    """Whom a call is accounted to.

    key         digest of the API key, empty if everybody is let in
    connection  of the client, as long as it lasts
    """

    key: bytes = b""
    connection: Hashable = None


ANYBODY = Caller()


def key_label(digest: bytes) -> str:
    """What logs and metrics call a key: the first 8 digits of its digest, never the key."""
    return digest.hex()[:8] or "anybody"


def check_key(authorization: str | None, digests: Set[bytes]) -> bytes:
    """The digest of the key in `Bearer KEY` or a bare `KEY`, if the key is known.

    Every digest is compared, in constant time: how long it takes tells nothing about them.

    Raises: Unauthorized.
    """
    key = _BEARER.sub("", (authorization or "").strip(), count=1)
    # Headers arrive as latin-1; a key of other characters was sent as its UTF-8 bytes.
    digest = hashlib.sha256(key.encode("latin-1")).digest()
    matches = [hmac.compare_digest(digest, known) for known in digests]
    if not any(matches):
        raise Unauthorized
    return digest
