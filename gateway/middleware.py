"""What every request goes through: an id, a body limit, a clock, a line in the log. Plain ASGI."""

import asyncio
import logging
import re
import uuid
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any, TypeVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import BodyTooLarge, HungUp
from gateway.metrics import Metrics

T = TypeVar("T")

# What may be echoed into a header and a log line.
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

access_log = logging.getLogger("gateway.access")


class RequestScope:
    """Request id, clock, in-flight gauge, access log; answers crashes of whatever is inside."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, answer_crash: Callable[[Request, Exception], Response]
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._answer_crash = answer_crash

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        request_id = _request_id(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["x-total-time"] = f"{(perf_counter() - started) * 1000:.2f}"
            await send(message)

        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, send_stamped)
            except Exception as crash:
                response = self._answer_crash(Request(scope), crash)
                if status:
                    raise  # half an answer is out; the server closes the connection
                await response(scope, receive, send_stamped)
            finally:
                self._record(scope, status, perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        # The route's name, never the path: callers choose paths.
        route = getattr(scope.get("route"), "name", "unknown")
        self._metrics.requests.labels(route, status).inc()
        self._metrics.duration.labels(route).observe(seconds)
        request_id = scope["state"]["request_id"]
        access_log.info(
            "%s %s %d %.1fms %s", scope["method"], route, status, seconds * 1000, request_id
        )


def _request_id(headers: Headers) -> str:
    sent = headers.get("x-request-id", "")
    return sent if _SANE_REQUEST_ID.fullmatch(sent) else f"req_{uuid.uuid4().hex}"


class BodyLimit:
    """Refuses bodies above `max_bytes`, announced or not, when the endpoint begins to read.

    Not earlier: a wrong key is told so whatever it sends.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "")
        received = int(announced) if announced.isdecimal() else 0
        is_announced = received > 0

        async def receive_limited() -> Message:
            nonlocal received
            if received > self._max_bytes:
                raise BodyTooLarge(self._max_bytes)
            message = await receive()
            if not is_announced:
                received += len(message.get("body", b""))
                if received > self._max_bytes:
                    raise BodyTooLarge(self._max_bytes)
            return message

        await self._app(scope, receive_limited, send)


async def run_unless_hung_up(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled if the client closes the connection first.

    Raises: HungUp.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_wait_until_gone(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HungUp("the client closed the connection")
        return task.result()
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
