"""What a text is kept under: a keyed digest, which tells nothing to whoever does not know the key.

Neither texts nor API keys can be found in a cache, or guessed from it, without its secret.
"""

from hashlib import blake2b

from gateway.inference.embedder import EmbeddingCall

DIGEST_BYTES = 32
# Keeps digests of texts apart from whatever else the secret is used for.
_PERSON = b"texts"


class Digests:
    """Digests of texts, together with all that their embeddings depend on but the edition.

    secret     of the cache, 1 to 64 bytes
    is_shared  whether API keys share what they computed
    """

    def __init__(self, secret: bytes, *, is_shared: bool) -> None:
        self._secret = secret
        self._is_shared = is_shared

    def of(self, call: EmbeddingCall) -> list[bytes]:
        """(N,) digests, equal where text, options and, unless shared, the key are."""
        owner = b"" if self._is_shared else call.entry.caller.key
        options = (
            call.ensemble,
            call.number_formats,
            call.dimensions,
            call.normalized,
            call.truncation,
            owner,
        )
        start = blake2b(
            repr(options).encode() + b"\0",  # which no repr holds: text begins behind it
            digest_size=DIGEST_BYTES,
            key=self._secret,
            person=_PERSON,
        )
        digests = []
        for text in call.texts:
            digest = start.copy()
            digest.update(text)
            digests.append(digest.digest())
        return digests
