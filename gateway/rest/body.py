"""read_body: a whole body in UTF-8, however it was sent, and never more of it than allowed."""

import asyncio
import codecs
from collections.abc import Callable
from io import BytesIO

from starlette.requests import ClientDisconnect, Request

from gateway.errors import BodyTooLarge, MalformedBody
from gateway.rest.content_coding import PIECE_BYTES, decoder_of

Hold = Callable[[int], None]

# The longer marks first: that of UTF-32 begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Bytes that a byte of UTF-16 becomes at most while it is turned into UTF-8: itself, two in a string
# and one and a half in UTF-8.
_TRANSCODING_FACTOR = 5


async def read_body(request: Request, max_bytes: int, hold: Hold = lambda total: None) -> bytes:
    """The whole body, decoded and in UTF-8 without a byte order mark.

    max_bytes  of the decoded body
    hold       is told how many bytes this body holds in memory, the announced length before a byte
               is read, then whenever they become more; what it raises ends the reading

    Raises: BodyTooLarge as soon as the size is announced or reached, UnsupportedEncoding,
    UndecodableBody, MalformedBody, ClientDisconnect.
    """
    decoder = decoder_of(request.headers.getlist("content-encoding"))
    held = _announced_bytes(request)
    if held > max_bytes:
        raise BodyTooLarge(max_bytes)
    hold(held)
    body = BytesIO()
    is_more = True
    while is_more:
        part, is_more = await _receive(request)
        for piece in decoder.decode(part):
            size = body.tell() + len(piece)
            if size > max_bytes:
                raise BodyTooLarge(max_bytes)
            total = size + len(part) if decoder.is_needed else size
            if total > held:
                hold(total)
                held = total
            body.write(piece)
            if len(piece) == PIECE_BYTES:
                await asyncio.sleep(0)  # others get their turn
    decoder.finish()
    return _to_utf8(body.getvalue(), max_bytes, hold)


async def _receive(request: Request) -> tuple[bytes, bool]:
    """The next part of the body, and whether there are more."""
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message.get("body", b""), message.get("more_body", False)


def _announced_bytes(request: Request) -> int:
    """Content-Length, 0 where there is none; more digits than a file has are as good as many."""
    announced = request.headers.get("content-length", "").lstrip("0")
    return int(announced[:20]) if announced.isdecimal() else 0


def _to_utf8(body: bytes, max_bytes: int, hold: Hold) -> bytes:
    """The text of the body in UTF-8; other encodings are told by their byte order mark.

    Windows' PowerShell writes files so.
    """
    if body.startswith(codecs.BOM_UTF8):
        return body[len(codecs.BOM_UTF8) :]
    encoding = next((name for mark, name in _MARKS.items() if body.startswith(mark)), None)
    if encoding is None:
        return body
    hold(_TRANSCODING_FACTOR * len(body))
    try:
        text = body.decode(encoding).encode()
    except UnicodeError as error:
        raise MalformedBody(
            f"the body begins as {encoding.upper()} and goes on otherwise"
        ) from error
    if len(text) > max_bytes:
        raise BodyTooLarge(max_bytes)
    return text
