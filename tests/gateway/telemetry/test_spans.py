"""Traces, as a collector gets them: over HTTP from outside, and on to Triton over gRPC."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from starlette.applications import Starlette

from gateway import Settings, create_app
from gateway.inference.triton import TritonEmbedder
from gateway.telemetry import spans
from gateway.telemetry.spans import Spans
from gateway.telemetry.timeline import Timeline
from gateway.telemetry.tracing import open_tracing
from tests.fakes import MODEL, NATIVE, FakeEmbedder, FakeTriton
from tests.gateway.telemetry.collector import Collector, attributes, serve_collector
from tests.gateway.telemetry.conftest import client_of

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STATES = "one=1,other=2"
TEXTS = ["a b", "c", "d e f", "g", "h"]  # two chunks


@pytest.fixture
def collector() -> Iterator[Collector]:
    with serve_collector() as collector:
        yield collector


@pytest.fixture
def app(address: str, collector: Collector, settings: Settings) -> Starlette:
    """Its traces have arrived when its lifespan is over."""
    embedder = TritonEmbedder(address, chunk_tokens=64, chunk_texts=4)
    return create_app(settings, embedder, spans_to(collector))


def spans_to(collector: Collector) -> Spans:
    return Spans(OTLPSpanExporter(f"{collector.url}/v1/traces"))


async def embed(app: Starlette, flags: str = "", *texts: str) -> httpx.Response:
    """One call, sampled by its caller or not, and the end of the app."""
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-{flags}", "tracestate": STATES} if flags else {}
    async with client_of(app) as client:
        body = {"model": MODEL, "input": texts or TEXTS}
        return await client.post("/v1/embeddings", json=body, headers=headers)


def server_span(collector: Collector) -> Span:
    (span,) = [span for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER]
    return span


async def test_a_call_is_a_child_of_its_callers_and_the_parent_of_its_chunks(
    app: Starlette, collector: Collector, triton: FakeTriton
) -> None:
    await embed(app, "01")
    server = server_span(collector)
    assert (TRACE, CALLER) == (server.trace_id.hex(), server.parent_span_id.hex())
    assert "POST /v1/embeddings" == server.name
    children = collector.children(server)
    stages = [child.name for child in children if child.kind == Span.SPAN_KIND_INTERNAL]
    assert ["read", "queue", "queue", "encode", "render"] == stages  # the second one for room
    chunks = [child for child in children if child.kind == Span.SPAN_KIND_CLIENT]
    assert {TRACE} == {span.trace_id.hex() for span in collector.spans}
    assert 1 + len(stages) + 2 == len(collector.spans)
    sent = {f"00-{TRACE}-{chunk.span_id.hex()}-01" for chunk in chunks}
    assert sent == {metadata["traceparent"] for metadata in triton.metadata}
    assert {STATES} == {metadata["tracestate"] for metadata in triton.metadata}


async def test_stages_follow_each_other_within_the_call(
    app: Starlette, collector: Collector
) -> None:
    await embed(app)
    server = server_span(collector)
    assert b"" == server.parent_span_id
    times = [(span.start_time_unix_nano, span.end_time_unix_nano) for span in collector.spans]
    assert server.start_time_unix_nano == min(began for began, _ in times)
    assert server.end_time_unix_nano == max(ended for _, ended in times)
    ends = {span.name: span.end_time_unix_nano for span in collector.spans}
    assert ends["read"] < ends["queue"] <= ends["encode"] < ends["render"]


async def test_spans_say_what_the_call_was(
    app: Starlette, collector: Collector, address: str
) -> None:
    answer = await embed(app)
    server = server_span(collector)
    port = int(address.rpartition(":")[2])
    call = {"gen_ai.request.model": MODEL, "gateway.revision": "abc"}
    assert attributes(server.attributes) == call | {
        "http.request.method": "POST",
        "http.route": "/v1/embeddings",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "triton-embeddings",
        "gen_ai.usage.input_tokens": 8 + 5 * 2,
        "gen_ai.embeddings.dimension.count": NATIVE,
        "gateway.texts": 5,
        "gateway.request_id": answer.headers["x-request-id"],
    }
    chunks = [attributes(s.attributes) for s in collector.children(server) if s.kind == 3]
    sizes = [(chunk.pop("gateway.texts"), chunk.pop("gateway.tokens")) for chunk in chunks]
    assert [4, 1] == sorted((texts for texts, _ in sizes), reverse=True)
    assert 18 == sum(tokens for _, tokens in sizes)
    asked = {"server.address": "127.0.0.1", "server.port": port, "rpc.system.name": "grpc"}
    asked |= {"rpc.method": "inference.GRPCInferenceService/ModelInfer"}
    assert [call | asked] * 2 == chunks


async def test_a_failure_marks_the_call_and_its_chunk(
    app: Starlette, collector: Collector, triton: FakeTriton
) -> None:
    triton.failure = grpc.StatusCode.UNAVAILABLE, "it stops"
    await embed(app, "", "a")
    server = server_span(collector)
    (chunk,) = [span for span in collector.children(server) if span.kind == 3]
    for span in (server, chunk):
        assert "service_unavailable" == attributes(span.attributes)["error.type"]
        assert (Status.STATUS_CODE_ERROR, "") == (span.status.code, span.status.message)


async def test_what_a_caller_got_wrong_is_no_error_of_the_server(
    app: Starlette, collector: Collector
) -> None:
    async with client_of(app) as client:
        await client.post("/v1/embeddings", json={"model": "unknown", "input": "a"})
    server = server_span(collector)
    assert "model_not_found" == attributes(server.attributes)["error.type"]
    assert Status.STATUS_CODE_UNSET == server.status.code


async def test_what_machines_ask_every_few_seconds_is_not_traced(
    app: Starlette, collector: Collector
) -> None:
    async with client_of(app) as client:
        for path in ("/health", "/health/ready", "/metrics"):
            await client.get(path)
    assert [] == collector.bodies


@pytest.mark.parametrize("method", ["PURGE", "GET"])
async def test_paths_and_methods_of_the_callers_choice_are_no_names(
    app: Starlette, collector: Collector, method: str
) -> None:
    async with client_of(app) as client:
        await client.request(method, "/some/path?query")
    assert server_span(collector).name == {"PURGE": "_OTHER"}.get(method, method)
    assert not any(b"some" in body or b"PURGE" in body for body in collector.bodies)


async def test_a_trace_that_is_not_sampled_leaves_nothing_here_or_at_triton(
    app: Starlette, collector: Collector, triton: FakeTriton
) -> None:
    await embed(app, "00")
    assert [] == collector.bodies
    assert [set(), set()] == [{"traceparent", "tracestate"} & metadata.keys()
                              for metadata in triton.metadata]  # fmt: skip


async def test_nobody_is_told_of_traces_that_nobody_wants(
    address: str, triton: FakeTriton, settings: Settings
) -> None:
    await embed(create_app(settings, TritonEmbedder(address)), "01")
    assert [[]] == [[name for name in metadata if "trace" in name] for metadata in triton.metadata]


async def test_the_variables_of_the_standard_are_read(
    collector: Collector, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_SERVICE_NAME": "search",
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    app = create_app(settings, FakeEmbedder(), open_tracing(variables))
    async with client_of(app) as client:
        for flags in ("01", "00"):
            headers = {"traceparent": f"00-{TRACE}-{CALLER}-{flags}"}
            await client.get("/v1/models", headers=headers)
        await client.get("/v1/models")
    assert [CALLER] == [span.parent_span_id.hex() for span in collector.spans]
    assert ["search"] == [resource["service.name"] for resource in collector.resources]


async def test_the_service_has_a_name_and_no_arguments(
    app: Starlette, collector: Collector
) -> None:
    await embed(app)
    (resource,) = collector.resources
    assert "triton-embeddings-gateway" == resource["service.name"]
    assert {"service", "telemetry"} == {name.partition(".")[0] for name in resource}


async def test_a_collector_that_is_away_is_said_once(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    tracing = spans_to(collector)
    with caplog.at_level(logging.INFO):
        for collector.status in (400, 400, 200, 200):
            timeline = Timeline("r1")
            tracing.begin(timeline, "GET", "http", {})
            assert timeline.trace is not None
            timeline.trace.end(timeline, "/", 200)
            tracing._provider.force_flush()
        tracing.close()
    told = [line.levelno for line in caplog.records if line.name.startswith("gateway")]
    assert [logging.WARNING, logging.INFO] == told
    assert 2 == len(collector.spans)


async def test_a_collector_that_hangs_delays_neither_answers_nor_the_end(
    app: Starlette, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "CLOSE_SECONDS", 0.01)
    released = threading.Event()
    try:
        collector.hang = released
        assert 200 == (await embed(app)).status_code  # its app has ended
        assert not collector.bodies
    finally:
        released.set()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1]:1", "OTEL_SDK_DISABLED": "TRUE"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1]:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
    ids=["no variable", "an empty one", "switched off", "another exporter"],
)
def test_without_a_place_to_send_to_there_are_no_traces(variables: dict[str, str]) -> None:
    assert open_tracing(variables) is None


def test_a_protocol_that_is_not_spoken_is_said(caplog: pytest.LogCaptureFixture) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://[::1]:1",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }
    assert open_tracing(variables) is None
    assert ["no traces: OTLP goes out as http/protobuf only, not as grpc"] == caplog.messages


def test_traces_without_their_packages_are_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gateway.telemetry.spans", None)
    assert open_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1]:1"}) is None
    assert ["no traces: they need pip install 'triton-embeddings[traces]'"] == caplog.messages


def test_a_gateway_without_traces_imports_nothing_of_theirs() -> None:
    program = (
        "import sys, gateway.server; from gateway import Settings;"
        "gateway.server.create_gateway(Settings(auth='off'));"
        "sys.exit(str([name for name in sys.modules if 'opentelemetry' in name] or ''))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == ended.stderr.strip()
