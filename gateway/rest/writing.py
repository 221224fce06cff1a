"""AnswerWriter: the head of an answer goes out together with the first bytes of its body.

uvicorn writes one after the other. Each is a call of the system that wakes the client, who has
nothing to do with the first.
"""

import asyncio

# Of an answer that only asks for the body of the request; the real one follows.
_INTERIM = b"HTTP/1.1 100 "


class AnswerWriter:
    """The transport of a connection as its answers see it, one after the other."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.is_closing = transport.is_closing
        self._transport = transport
        self._is_head_next = True
        self._head: bytes | None = None  # that waits for its body

    def write(self, data: bytes) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.writelines([head, data])
        elif self._is_head_next and not data.startswith(_INTERIM):
            self._is_head_next, self._head = False, data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Writes a head that has no body, or waits for none any more."""
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head)

    def end(self) -> None:
        """The answer is complete: what comes next begins another."""
        self.flush()
        self._is_head_next = True

    def close(self) -> None:
        self.flush()
        self._transport.close()
