"""Spans of OpenTelemetry, made of a timeline once its request is over.

    POST /v1/embeddings             server; http.*, gen_ai.*
    ├─ read, queue, encode …        stages, one after the other
    └─ …/ModelInfer                 client; one for each chunk that a Triton was asked for

Only the first and the last kind begin with what they stand for: their ids go out with requests.
Names and values are of OpenTelemetry's semantic conventions, and `gateway.…` where those have none.
Nothing in them is a caller's choice but the ids of request and trace, and the state that Trace
Context wants passed on.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from time import perf_counter, time_ns

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.telemetry.timeline import Inference, Metadata, Timeline

DISTRIBUTION = "triton-embeddings"
SERVICE = f"{DISTRIBUTION}-gateway"
METHOD = "inference.GRPCInferenceService/ModelInfer"
# Seconds at the end for what is not sent yet.
CLOSE_SECONDS = 3.0

_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
_W3C = TraceContextTextMapPropagator()

logger = logging.getLogger(__name__)


class Trace:
    """That of one request, which may be sampled or not.

    epoch  nanoseconds from the beginning of perf_counter to that of Unix
    """

    def __init__(self, span: Span, method: str, epoch: int, tracer: Tracer) -> None:
        self.is_sampled = span.is_recording()
        self.id = f"{span.get_span_context().trace_id:032x}" if self.is_sampled else ""
        self._span = span
        self._method = method
        self._epoch = epoch
        self._tracer = tracer
        self._inferences: list[tuple[Inference, Span]] = []

    def infer(self, inference: Inference) -> Metadata | None:
        """Begins the span of a chunk; what tells Triton whose child it is.

        None where nothing is sampled: Triton 24.10 traces whatever has a parent, sampled or not.
        """
        if not self.is_sampled:
            return None
        span = self._child(METHOD, perf_counter(), SpanKind.CLIENT)
        self._inferences.append((inference, span))
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, set_span_in_context(span, Context()))
        return tuple(carrier.items())

    def end(self, timeline: Timeline, route: str, status: int) -> None:
        if not self.is_sampled:
            return
        self._end_stages(timeline)
        self._end_inferences(timeline)
        self._span.set_attributes(_describe_call(timeline))
        if route:
            self._span.update_name(f"{self._method} {route}")
            self._span.set_attribute("http.route", route)
        if status:
            self._span.set_attribute("http.response.status_code", status)
        _fail(self._span, timeline.error, is_ours=status >= 500)
        self._span.end()

    def _end_stages(self, timeline: Timeline) -> None:
        since = timeline.started
        for stage, moment in timeline.ends:
            if stage != "triton":  # its chunks tell more
                self._child(stage, since).end(self._moment(moment))
            since = moment

    def _end_inferences(self, timeline: Timeline) -> None:
        for inference, span in self._inferences:
            span.set_attributes(_describe(inference, timeline))
            _fail(span, inference.error, is_ours=True)
            # Triton may still be at it where the caller has left.
            span.end(self._moment(inference.ended or perf_counter()))

    def _child(self, name: str, began: float, kind: SpanKind = SpanKind.INTERNAL) -> Span:
        context = set_span_in_context(self._span, Context())
        return self._tracer.start_span(name, context, kind, start_time=self._moment(began))

    def _moment(self, of_perf_counter: float) -> int:
        """Nanoseconds of Unix."""
        return self._epoch + int(of_perf_counter * 1e9)


class Spans:
    """The Tracing that hands its spans to an exporter of OpenTelemetry, in batches.

    Sampler, resource, batches and limits are those of the standard's variables.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_SaysOnce(exporter)))
        self._tracer = self._provider.get_tracer("gateway", version(DISTRIBUTION))
        # What they say again and again is said once by _SaysOnce.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def begin(
        self, timeline: Timeline, method: str, scheme: str, headers: Mapping[str, Sequence[str]]
    ) -> None:
        epoch = time_ns() - int(perf_counter() * 1e9)
        method = method if method in _METHODS else "_OTHER"
        span = self._tracer.start_span(
            method,
            _W3C.extract(headers) if "traceparent" in headers else Context(),
            SpanKind.SERVER,
            {"http.request.method": method, "url.scheme": scheme},
            start_time=epoch + int(timeline.started * 1e9),
        )
        timeline.trace = Trace(span, method, epoch, self._tracer)

    def close(self) -> None:
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS)


class _SaysOnce(SpanExporter):
    """An exporter that says when spans begin to be lost, and when they do no longer."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_losing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        is_losing = result is not SpanExportResult.SUCCESS
        if is_losing is not self._is_losing:
            self._is_losing = is_losing
            if is_losing:
                logger.warning("the collector takes no spans: they are lost until it does")
            else:
                logger.info("the collector takes spans again")
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _fail(span: Span, error: str, is_ours: bool) -> None:
    """Of a server that is right to refuse the status says nothing."""
    if error:
        span.set_attribute("error.type", error)
        if is_ours:
            span.set_status(StatusCode.ERROR)


def _describe_call(timeline: Timeline) -> dict[str, str | int]:
    """Attributes of a call for embeddings, as far as it came."""
    attributes: dict[str, str | int] = {
        "gen_ai.request.model": timeline.model,
        "gen_ai.usage.input_tokens": timeline.tokens,
        "gen_ai.embeddings.dimension.count": timeline.dimensions,
        "gateway.revision": timeline.revision,
        "gateway.texts": timeline.texts,
        "gateway.request_id": timeline.request_id,
    }
    if timeline.model:
        attributes |= {"gen_ai.operation.name": "embeddings", "gen_ai.provider.name": DISTRIBUTION}
    return {name: value for name, value in attributes.items() if value}


def _describe(inference: Inference, timeline: Timeline) -> dict[str, str | int]:
    return _server(inference.triton) | {
        "rpc.system.name": "grpc",
        "rpc.method": METHOD,
        "gen_ai.request.model": timeline.model,
        "gateway.revision": timeline.revision,
        "gateway.texts": inference.texts,
        "gateway.tokens": inference.tokens,
    }


@cache
def _server(triton: str) -> dict[str, str | int]:
    """Of a gRPC target: `host:port`, `[::1]:port`, `dns:///host:port`."""
    address, _, port = triton.rpartition("/")[2].rpartition(":")
    return {"server.address": address.strip("[]"), "server.port": int(port or 0)}


def _resource() -> Resource:
    """What the variables say of this service, and its name where they say none."""
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
    return Resource({SERVICE_VERSION: version(DISTRIBUTION)}).merge(resource)


def open_exporter() -> Spans:
    """Spans to the collector that OpenTelemetry's variables name."""
    return Spans(OTLPSpanExporter())
