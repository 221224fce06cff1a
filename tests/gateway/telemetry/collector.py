"""A collector of traces: OTLP over HTTP, as far as a test wants to take it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.gateway.serving import serve_app


@dataclass
class Collector:
    """What came, and with what status it was taken."""

    url: str = ""
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    hang: threading.Event | None = None  # until it is set

    async def take(self, request: Request) -> Response:
        body = await request.body()
        if self.hang is not None:
            await asyncio.to_thread(self.hang.wait)
        if self.status == 200:
            self.bodies.append(body)
        return Response(ExportTraceServiceResponse().SerializeToString(), self.status)

    @property
    def resources(self) -> list[dict[str, Any]]:
        return [attributes(one.resource.attributes) for one in self._resource_spans()]

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for one in self._resource_spans()
            for scope in one.scope_spans
            for span in scope.spans
        ]

    def children(self, parent: Span) -> list[Span]:
        """Spans of a span, in the order of their beginning."""
        found = [span for span in self.spans if span.parent_span_id == parent.span_id]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def _resource_spans(self) -> Iterator[Any]:
        for body in self.bodies:
            yield from ExportTraceServiceRequest.FromString(body).resource_spans


def attributes(pairs: Any) -> dict[str, Any]:
    """Name → value."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def serve_collector() -> Iterator[Collector]:
    """Serves until the block ends."""
    collector = Collector()
    app = Starlette(routes=[Route("/v1/traces", collector.take, methods=["POST"])])
    with serve_app(app) as port:
        collector.url = f"http://127.0.0.1:{port}"
        yield collector
