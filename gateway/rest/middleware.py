"""What every request goes through: an id, a clock, a line in the log. Plain ASGI."""

import asyncio
import logging
import random
import re
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TypeVar

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import HungUp
from gateway.rest.hang_ups import hang_up_of
from gateway.telemetry.lines import AccessLine
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.timeline import Timeline
from gateway.telemetry.tracing import Tracing

T = TypeVar("T")

# What may be echoed into a header and a log line.
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

# Of W3C's Trace Context.
TRACE_HEADERS = ("traceparent", "tracestate")
# Asked every few seconds, by machines.
UNTRACED_PATHS = ("/health", "/metrics")

access_log = logging.getLogger("gateway.access")


class RequestScope:
    """Timeline, in-flight gauge, access log; answers crashes of whatever is inside.

    scope["state"]["timeline"] is the request's.
    scope["state"]["exits"] are functions that are called once the answer is sent, or nobody is left
    to read it.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        answer_crash: Callable[[Request, Exception], Response],
        tracing: Tracing | None = None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._answer_crash = answer_crash
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        timeline = Timeline(_request_id(headers))
        if self._tracing and not scope["path"].startswith(UNTRACED_PATHS):
            context = {name: headers.getlist(name) for name in TRACE_HEADERS if name in headers}
            self._tracing.begin(timeline, scope["method"], scope["scheme"], context)
        exits: list[Callable[[], object]] = []
        scope.setdefault("state", {}).update(timeline=timeline, exits=exits)
        status = 0

        async def send_stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                seconds = perf_counter() - timeline.started
                message["headers"] += [
                    (b"x-request-id", timeline.request_id.encode()),
                    (b"x-total-time", b"%.2f" % (seconds * 1000)),
                ]
                if timeline.ends:
                    timing = timeline.server_timing(seconds)
                    message["headers"].append((b"server-timing", timing.encode()))
                if charge := scope["state"].get("charge"):
                    message["headers"] += [
                        (name.encode(), value.encode()) for name, value in charge.headers.items()
                    ]
            await send(message)

        self._metrics.in_flight += 1
        try:
            await self._app(scope, receive, send_stamped)
        except Exception as crash:
            response = self._answer_crash(Request(scope), crash)
            if status:
                raise  # half an answer is out; the server closes the connection
            await response(scope, receive, send_stamped)
        finally:
            for leave in exits:
                leave()
            self._metrics.in_flight -= 1
            self._record(scope, status, timeline)

    def _record(self, scope: Scope, status: int, timeline: Timeline) -> None:
        seconds = perf_counter() - timeline.started
        # The route's name, never the path: callers choose paths.
        route = getattr(scope.get("route"), "name", "unknown")
        self._metrics.requests(route, status).inc()
        self._metrics.duration(route).observe(seconds)
        self._metrics.observe(timeline, seconds)
        state = scope["state"]
        key = state["key"].name if "key" in state else "-"
        if key != "-":
            self._metrics.key_requests(key, status).inc()
        if timeline.trace is not None:
            timeline.trace.end(timeline, getattr(scope.get("route"), "path", ""), status)
        access_log.info(AccessLine(scope["method"], route, status, seconds, key, timeline))


def _request_id(headers: Headers) -> str:
    sent = headers.get("x-request-id", "")
    return sent if _SANE_REQUEST_ID.fullmatch(sent) else f"req_{random.getrandbits(128):032x}"


async def run_unless_hung_up(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled if the client closes the connection first.

    Raises: HungUp.
    """
    task = asyncio.current_task()
    assert task is not None
    cancels_before = task.cancelling()
    hang_up = hang_up_of(request)
    hang_up.watch(task)
    try:
        return await work
    except asyncio.CancelledError:
        if hang_up.has_cancelled and task.uncancel() <= cancels_before:
            raise HungUp("the client closed the connection") from None
        raise
    finally:
        hang_up.unwatch()
