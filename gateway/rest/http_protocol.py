"""HttpProtocol: bounds on what comes before a request, and JSON for what is none."""

import asyncio
import uuid
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.errors import MalformedRequest
from gateway.rest.contract import render_error

# Bytes of a path with all its headers, or of anything else that is no body: kept until it ends.
MAX_HEAD_BYTES = 64 * 1024


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's, which knows neither a longest head nor a slowest one.

    head_timeout_seconds  from an opened connection, or the first byte of a later request, to the
                          end of the headers
    linger_seconds        for the rest of a body that is answered already: closed at once, many
                          clients would see a broken connection instead of the answer
    """

    head_timeout_seconds = 60.0
    linger_seconds = 5.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._unparsed_bytes = 0
        self._is_in_head = False
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unparsed_bytes += len(data)  # the callbacks below set it back
        super().data_received(data)
        if self._is_in_head:
            self._expect_head()
        if self._unparsed_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"the path and headers are above {MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True

    def on_headers_complete(self) -> None:
        self._unparsed_bytes = 0
        self._is_in_head = False
        self._head_arrived()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        cycle = self.cycle  # the answered one, or one that was sent behind it
        super().on_response_complete()
        if cycle.response_complete and cycle.more_body:
            self.loop.call_later(self.linger_seconds, self._end_linger, cycle)

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP request, and closes."""
        content = render_error(MalformedRequest(msg))
        head = (
            "HTTP/1.1 400 Bad Request\r\n"
            "content-type: application/json\r\n"
            f"content-length: {len(content)}\r\n"
            f"x-request-id: req_{uuid.uuid4().hex}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + content)
        self.transport.close()

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_timeout_seconds, self.transport.close)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_linger(self, cycle: RequestResponseCycle) -> None:
        if cycle is self.cycle and cycle.more_body:
            self.transport.close()
