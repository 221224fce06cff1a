"""Content-Encoding: compressed bodies, decoded piece by piece as they arrive."""

import zlib
from collections.abc import Iterator, Sequence

from gateway.errors import UndecodableBody, UnsupportedEncoding

SUPPORTED = ("gzip", "deflate")
# Decoded bytes that come out at a time: about a millisecond.
PIECE_BYTES = 256 * 1024
# A body of empty members would keep us busy for its whole length.
MAX_MEMBERS = 1000

_SYNONYMS = {"x-gzip": "gzip"}
_GZIP, _ZLIB, _RAW = 31, 15, -15  # as zlib wants them in `wbits`


class Decoder:
    """For what is not compressed."""

    is_needed = False

    def decode(self, part: bytes) -> Iterator[bytes]:
        """The next part in pieces.

        Raises: UndecodableBody.
        """
        yield part

    def finish(self) -> None:
        """Raises: UndecodableBody if more should have come."""


def decoder_of(headers: Sequence[str]) -> Decoder:
    """The decoder that the Content-Encoding headers of a request ask for.

    Raises: UnsupportedEncoding, also for one coding within another.
    """
    words = (word.strip().lower() for value in headers for word in value.split(","))
    codings = [_SYNONYMS.get(word, word) for word in words if word not in ("", "identity")]
    match codings:
        case []:
            return Decoder()
        case ["gzip" | "deflate" as coding]:
            return Inflater(coding)
    raise UnsupportedEncoding(", ".join(codings), SUPPORTED)


class Inflater(Decoder):
    """gzip of one member or several; deflate as RFC 9110 has it, in zlib's format, and bare."""

    is_needed = True

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._stream = zlib.decompressobj(_GZIP) if coding == "gzip" else None
        self._members = 1
        self._start = b""  # of a deflate body, until its format shows

    def decode(self, part: bytes) -> Iterator[bytes]:
        if self._stream is None:
            part = self._start = self._start + part
            if len(part) < 2:
                return
            self._stream = zlib.decompressobj(_ZLIB if _is_zlib(part) else _RAW)
        piece = b""
        # Full pieces may leave something to say inside of zlib when all of the part is read.
        while part or len(piece) == PIECE_BYTES:
            if part and self._stream.eof:
                self._stream = self._next_member()
            try:
                piece = self._stream.decompress(part, PIECE_BYTES)
            except zlib.error as error:
                raise UndecodableBody(f"the body is not valid {self._coding}") from error
            yield piece
            part = self._stream.unconsumed_tail or self._stream.unused_data

    def finish(self) -> None:
        if self._stream is None or not self._stream.eof:
            raise UndecodableBody(f"the {self._coding} body is cut short")

    def _next_member(self) -> "zlib._Decompress":
        self._members += 1
        if self._coding != "gzip" or self._members > MAX_MEMBERS:
            raise UndecodableBody(f"the {self._coding} body goes on behind its end")
        return zlib.decompressobj(_GZIP)


def _is_zlib(start: bytes) -> bool:
    """Whether these two bytes begin zlib's format.

    Source: RFC 1950, section 2.2. A bare stream cannot begin so: it would be a stored block with
    bits set that are to be zero.
    """
    return start[0] & 0x0F == 8 and int.from_bytes(start[:2]) % 31 == 0
