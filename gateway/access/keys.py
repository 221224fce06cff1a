"""The API keys, known by their SHA-256 digests only."""

import hashlib
import hmac
import re
from collections.abc import Set

from gateway.errors import Unauthorized

_BEARER = re.compile(r"bearer +", re.IGNORECASE)


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
