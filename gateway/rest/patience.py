"""PatientProtocol: how long a client may keep a connection waiting, and how a connection ends."""

import asyncio
import threading
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.rest.crowd import Crowd
from gateway.rest.writing import AnswerWriter


class Place(Enum):
    """Where in a connection's bytes the parser stands."""

    BETWEEN = auto()  # two requests
    HEAD = auto()
    BODY = auto()


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a client may take.

    keep_alive  between two requests, and from an opened connection to the first byte
    head        from the first byte of a request to the end of its head
    rest        for the rest of a body that is answered already: closed at once, many clients
                would see a broken connection instead of the answer
    reading     for an answer that is more than the buffers of the system hold
    last        for one more request once the server stops: a client that is at work sends it and is
                told that it was the last, where a connection closed at once may meet it half way
    """

    keep_alive: float = 75.0
    head: float = 60.0
    rest: float = 5.0
    reading: float = 50.0
    last: float = 0.5


NEVER = threading.Event()


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's, with a bound on every wait for the client but one.

    That for a body which the app reads is the app's.
    """

    def __init__(
        self,
        *arguments: Any,
        patience: Patience,
        stopping: threading.Event = NEVER,
        crowd: Crowd | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self.timeout_keep_alive = patience.keep_alive  # type: ignore[assignment]  # uvicorn's: int
        self.place = Place.BETWEEN
        self.is_deaf = False  # whatever still comes is thrown away
        self._patience = patience
        self.stopping = stopping
        self.crowd = crowd or Crowd(2**20)
        self._has_moved = True  # since the timer of the wait for the client was started
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.writer = AnswerWriter(transport)
        self.crowd.make_room(len(self.connections))
        self.crowd.join(self)
        self.watch_client()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.crowd.leave(self)
        self._unset_keepalive_if_required()
        self._stop_unread_timer()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.cycle.transport = self.writer  # type: ignore[assignment]  # all that a cycle uses

    def on_response_complete(self) -> None:
        self.writer.end()
        super().on_response_complete()  # starts the timer of a wait between two requests
        if self.transport.is_closing():
            self._start_unread_timer()
        else:
            if not self.owes_answer():
                self.crowd.join(self)
            self._has_moved = self.place is not Place.BETWEEN
            self.watch_client()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        is_read = not self.flow.write_paused
        self._start_unread_timer(self._patience.last if is_read else self._patience.reading)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_unread_timer()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not (self.is_deaf or self.transport.is_closing()):  # the last bytes count as well
            self._stop_unread_timer()

    def owes_answer(self) -> bool:
        """Whether some request has no answer yet, its client still being there."""
        cycle = self.cycle  # of the last request; answers keep the order of requests
        return cycle is not None and not (cycle.response_complete or cycle.disconnected)

    def shutdown(self) -> None:
        """The server stops: ends behind the last answer, or soon if none is owed."""
        if self.owes_answer():
            self.end_behind(self.cycle)
        else:
            self._has_moved = True
            self.watch_client()

    def end_behind(self, cycle: RequestResponseCycle) -> None:
        """This request is the last of the connection."""
        cycle.keep_alive = False
        cycle.transport = LingeringClose(self, cycle)  # type: ignore[assignment]

    def move_to(self, place: Place) -> None:
        """The parser stands there now."""
        self.place = place
        self._has_moved = True

    def watch_client(self) -> None:
        """Closes the connection in time, unless it is we who have to move.

        What comes and does not move the parser on, such as blank lines, buys no time.
        """
        if self.owes_answer():
            self._unset_keepalive_if_required()
        elif self._has_moved or self.timeout_keep_alive_task is None:
            self._unset_keepalive_if_required()
            self._has_moved = False
            self.timeout_keep_alive_task = self.loop.call_later(
                self._patience_seconds(), self.timeout_keep_alive_handler
            )

    def end(self) -> None:
        """Ends the connection behind what was written, and gives the client time to read that.

        Closed with bytes of the client unread it would be reset, and the answer lost with it.
        Source: RFC 9112, section 9.6.
        """
        self.is_deaf = True
        self._has_moved = True
        if not self.transport.is_closing():
            self._start_unread_timer()
            self.flow.resume_reading()
            if self.transport.can_write_eof():
                self.transport.write_eof()
            else:  # TLS ends with a word of its own, for which the other side is waited
                self.transport.close()
            self.watch_client()

    def _patience_seconds(self) -> float:
        if self.is_deaf or self.place is Place.BODY:
            return self._patience.rest
        stops = self.stopping.is_set()
        if self.place is Place.HEAD:
            return self._patience.rest if stops else self._patience.head
        return self._patience.last if stops else self._patience.keep_alive

    def _start_unread_timer(self, seconds: float | None = None) -> None:
        """Cuts the connection off then, by default after the time for an answer to be read."""
        if self._unread_timer is None:
            seconds = self._patience.reading if seconds is None else seconds
            self._unread_timer = self.loop.call_later(seconds, self.transport.abort)

    def _stop_unread_timer(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None


class LingeringClose:
    """A transport as the answer to the last request of a connection sees it."""

    def __init__(self, protocol: PatientProtocol, cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle
        self._writer = protocol.writer
        self.write = self._writer.write
        self.is_closing = self._writer.is_closing

    def close(self) -> None:
        """At once if the request was read to its end."""
        if self._cycle.more_body:
            self._writer.flush()
            self._protocol.end()
        else:
            self._writer.close()
