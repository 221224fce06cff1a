"""HttpProtocol: where a request begins and where it ends.

Whatever a client sends, each request gets one answer or the connection ends, and no byte of a body
is ever taken for a request.
"""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.errors import MalformedRequest
from gateway.rest import hang_ups
from gateway.rest.contract import render_error
from gateway.rest.hang_ups import HangUp
from gateway.rest.patience import PatientProtocol, Place

# Bytes of a path with all its headers, or of anything else that is no body: kept until it ends.
MAX_HEAD_BYTES = 64 * 1024
# Requests that may wait for the answers to those before them: one packet holds ten thousand.
MAX_WAITING_REQUESTS = 32

_VERSIONS = {"1.0", "1.1"}
_FRAMING = {b"content-length", b"transfer-encoding"}


class HttpProtocol(PatientProtocol):
    """Strict about framing, deaf to offers of other protocols, JSON for what is no request.

    count_refusal  is called for what is none: no app sees it
    """

    def __init__(
        self, *arguments: Any, count_refusal: Callable[[], None] = lambda: None, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._count_refusal = count_refusal
        self._unparsed_bytes = 0
        self._is_replaying = False  # a head that was read before
        self._running: RequestResponseCycle | None = None
        self._refusal: bytes | None = None  # its turn comes when all before it is answered

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._hang_up = HangUp(read_on=self.flow.resume_reading)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(self._running)  # uvicorn tells the last request only
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self.is_deaf:
            self._unparsed_bytes += len(data)  # the callbacks below set it back
            try:
                self._parse(data)
                if self._unparsed_bytes > MAX_HEAD_BYTES:
                    raise MalformedRequest(f"the path and headers are above {MAX_HEAD_BYTES} bytes")
            except MalformedRequest as error:
                self._refuse(error)
        self.watch_client()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.move_to(Place.HEAD)

    def on_headers_complete(self) -> None:
        self._unparsed_bytes = 0
        if not self._is_replaying:
            self._take_request()
        self.move_to(Place.BODY)

    def _take_request(self) -> None:
        _check_head(self.parser, self.headers)
        if len(self.pipeline) == MAX_WAITING_REQUESTS:
            raise MalformedRequest(f"more than {MAX_WAITING_REQUESTS} requests wait for an answer")
        super().on_headers_complete()
        self.crowd.leave(self)
        self.scope["state"][hang_ups.STATE] = self._hang_up
        self.headers = []  # trailers are told as headers are, and must not become any
        if self.pipeline:
            self.flow.resume_reading()  # who does not read does not notice a hang-up
        else:
            self._running = self.cycle
        if self.stopping.is_set() or not self.cycle.keep_alive:
            self.end_behind(self.cycle)

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed_bytes = 0
        if self.parser.should_upgrade():
            return  # the parser jumps over the body of an offer: _pass_over_offer reads it
        self.move_to(Place.BETWEEN)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._refusal and self.pipeline and self.pipeline[-1][0].more_body:
            self.pipeline.clear()  # of this one nothing but the head can be read
        following = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()
        self._running = following
        if self._refusal and following is None:
            self._send_refusal(self._refusal)

    def _should_upgrade(self) -> bool:
        return False

    def _parse(self, data: bytes | memoryview) -> None:
        """Parses, past each offer of another protocol as if it had not been made.

        Raises: MalformedRequest.
        Source: RFC 9110, section 7.8.
        """
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                data = memoryview(data)[offer.args[0] :]
                self._pass_over_offer()
            except httptools.HttpParserCallbackError as error:
                if isinstance(error.__context__, MalformedRequest):
                    raise error.__context__ from None
                raise MalformedRequest("this is no HTTP request") from error
            except httptools.HttpParserError as error:
                raise MalformedRequest(f"this is no HTTP request: {error}") from error

    def _pass_over_offer(self) -> None:
        """Puts a parser in place that stands behind the last head, where the body begins."""
        headers = self.cycle.scope["headers"]
        framing = b"".join(b"%s: %s\r\n" % header for header in headers if header[0] in _FRAMING)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # uvicorn's choice
        self._is_replaying = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % framing)
        self._is_replaying = False

    def _refuse(self, error: MalformedRequest) -> None:
        """Reads no further, and answers so in its turn, unless the request has its answer."""
        self.is_deaf = True
        self._count_refusal()
        self._refusal = _render(error)
        if self.place is not Place.BODY:
            if not self.owes_answer():
                self._send_refusal(self._refusal)
        elif self.cycle.response_complete:
            self.end()
        elif self.cycle is self._running:
            self._send_refusal(self._refusal)

    def _send_refusal(self, refusal: bytes) -> None:
        self._refusal = None
        if self.owes_answer():
            if self.cycle.response_started:
                self.transport.abort()
            self._lose(self.cycle)
        if not self.transport.is_closing():
            self.transport.write(refusal)
            self.end()

    def _lose(self, cycle: RequestResponseCycle | None) -> None:
        """The app has lost the client of its request, and of all that would follow."""
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self._hang_up.happen()


def _check_head(parser: httptools.HttpRequestParser, headers: list[tuple[bytes, bytes]]) -> None:
    """Refuses what httptools takes but the next server may read in another way.

    Raises: MalformedRequest.
    Source: RFC 9112, sections 2.3 and 6.1.
    """
    version = parser.get_http_version()
    if version not in _VERSIONS:
        raise MalformedRequest(f"HTTP/{version} is not spoken here, HTTP/1.1 is")
    if parser.get_method() == b"CONNECT":
        raise MalformedRequest("this is no proxy")
    for name, value in headers:
        if name == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                raise MalformedRequest("the only transfer coding read here is chunked")
            if version == "1.0":
                raise MalformedRequest("HTTP/1.0 has no transfer codings")


def _render(error: MalformedRequest) -> bytes:
    content = render_error(error)
    head = (
        "HTTP/1.1 400 Bad Request\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(content)}\r\n"
        f"x-request-id: req_{uuid.uuid4().hex}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + content
