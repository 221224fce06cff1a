"""What `/metrics` shows: what the document says, and the times and sizes of calls."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import pytest
from prometheus_client import CollectorRegistry, Histogram, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway import Settings, create_app
from gateway.errors import InferenceFailed, TritonTimeout
from gateway.inference.triton import TritonEmbedder
from gateway.telemetry.histograms import Histograms
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.timeline import Timeline
from tests.fakes import MODEL, FakeEmbedder, FakeTriton
from tests.gateway.telemetry.conftest import client_of

pytestmark = pytest.mark.anyio

DOCUMENT = Path(__file__).parents[3] / "docs" / "operations.md"
WORD = re.compile(r"`(\w+)`")
STAGES = ["read", "queue", "triton", "encode", "render"]


async def families(client: httpx.AsyncClient) -> dict[str, Metric]:
    """All that is shown, but for the moments at which counters were made."""
    shown = text_string_to_metric_families((await client.get("/metrics")).text)
    return {
        family.name + "_total" * (family.type == "counter"): family
        for family in shown
        if not family.name.endswith("_created")
    }


async def embed(client: httpx.AsyncClient, *texts: str) -> httpx.Response:
    return await client.post("/v1/embeddings", json={"model": MODEL, "input": texts})


@pytest.fixture
async def through(address: str, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway that asks a Triton over gRPC."""
    app = create_app(settings, TritonEmbedder(address, chunk_tokens=64, chunk_texts=4))
    async with client_of(app) as client:
        yield client


def documented() -> dict[str, set[str]]:
    """Metric → its labels, as the table has them."""
    rows = re.findall(
        r"^\| (`(?:gateway|process)_.*?) \| (.*?) ?\| ", DOCUMENT.read_text(), re.MULTILINE
    )
    return {
        name: set(WORD.findall(labels)) for names, labels in rows for name in WORD.findall(names)
    }


async def test_the_documented_metrics_are_the_real_ones(
    through: httpx.AsyncClient, triton: FakeTriton
) -> None:
    assert (await embed(through, "a b", "c")).status_code == 200
    triton.failure = grpc.StatusCode.UNAVAILABLE, "it stops"
    assert (await embed(through, "a")).status_code == 503
    shown = await families(through)
    known = documented()
    assert set(known) == set(shown)
    for name, family in shown.items():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        if family.samples:  # some are told while a call is in flight only
            assert (name, known[name]) == (name, labels)


def count(family: Metric, **labels: str) -> float:
    """Observations of a histogram, or the value of a counter."""
    (value,) = [
        sample.value
        for sample in family.samples
        if sample.name.endswith(("_count", "_total")) and labels == sample.labels
    ]
    return value


def total(family: Metric) -> float:
    """All that a histogram was told, added up."""
    return sum(sample.value for sample in family.samples if sample.name.endswith("_sum"))


async def test_the_stages_of_a_call_are_all_of_its_time(
    through: httpx.AsyncClient, triton: FakeTriton
) -> None:
    triton.pause_seconds = 0.05
    answer = await embed(through, "a", "b", "c")
    stages = (await families(through))["gateway_stage_seconds"]
    assert {1.0} == {count(stages, stage=stage, model=MODEL) for stage in STAGES}
    timing = dict(re.findall(r"(\w+);dur=([\d.]+)", answer.headers["server-timing"]))
    assert [*STAGES, "total"] == list(timing)
    told = sum(float(timing[stage]) for stage in STAGES) / 1000
    assert total(stages) == pytest.approx(told, abs=0.0005)
    assert 0.05 <= float(timing["triton"]) / 1000 <= told <= float(timing["total"]) / 1000 + 0.0001


async def test_what_the_cache_answers_is_no_time_of_triton(
    address: str, settings: Settings
) -> None:
    app = create_app(replace(settings, cache="memory"), TritonEmbedder(address))
    async with client_of(app) as client:
        await embed(client, "a")
        assert "cache" in (await embed(client, "a")).headers["server-timing"]
        stages = (await families(client))["gateway_stage_seconds"]
    for stage in ("triton", "cache"):
        assert 1 == count(stages, stage=stage, model=MODEL)


async def test_sizes_are_told_by_call_and_by_chunk(
    through: httpx.AsyncClient, address: str
) -> None:
    await embed(through, "a b", "c", "d e f", "g", "h")  # four texts a chunk
    shown = await families(through)
    assert 5 == total(shown["gateway_texts_per_call"])
    assert 1 == count(shown["gateway_texts_per_call"], model=MODEL)
    assert 8 + 5 * 2 == total(shown["gateway_chunk_tokens"])
    for name in ("gateway_chunk_tokens", "gateway_chunk_seconds"):
        assert 2 == count(shown[name], model=MODEL, triton=address)


async def test_small_calls_are_timed_apart_and_failed_ones_not_at_all(
    through: httpx.AsyncClient, triton: FakeTriton
) -> None:
    await embed(through, "a")
    await embed(through, *["a b c d e f g h i"] * 200)
    triton.failure = grpc.StatusCode.UNAVAILABLE, "it stops"
    await embed(through, "a")
    told = (await families(through))["gateway_call_seconds"]
    assert 1 == count(told, lane="interactive", model=MODEL)
    assert 1 == count(told, lane="bulk", model=MODEL)


async def test_readiness_is_told_as_the_probe_tells_it(
    through: httpx.AsyncClient, triton: FakeTriton
) -> None:
    for ready, failure in ((1, None), (0, (grpc.StatusCode.UNAVAILABLE, "it stops"))):
        triton.failure = failure
        await embed(through, "a")
        (sample,) = (await families(through))["gateway_ready"].samples
        assert ready == sample.value
        assert (ready == 1) == ((await through.get("/health/ready")).status_code == 200)


async def test_a_gateway_that_stops_is_not_ready(through: httpx.AsyncClient) -> None:
    app = through._transport.app  # type: ignore[attr-defined]
    await embed(through, "a")
    app.state.gateway.stopping.set()
    (sample,) = (await families(through))["gateway_ready"].samples
    assert 0 == sample.value


async def test_tritons_are_counted_by_revision(through: httpx.AsyncClient) -> None:
    (sample,) = (await families(through))["gateway_model_tritons"].samples
    assert MODEL == sample.labels["model"]
    assert 1 == sample.value


async def test_what_is_turned_away_is_counted_by_reason(
    client: httpx.AsyncClient, embedder: FakeEmbedder
) -> None:
    await client.post("/v1/embeddings", content=b"{")
    await client.post("/v1/embeddings", json={"model": "unknown", "input": "a"})
    embedder.failure = TritonTimeout("too late")
    await embed(client, "a")
    rejected = (await families(client))["gateway_rejected_total"]
    told = {(sample.labels["reason"], sample.labels["model"]): sample.value
            for sample in rejected.samples if sample.name.endswith("_total")}  # fmt: skip
    assert {("invalid_json", ""): 1, ("model_not_found", ""): 1, ("timeout", MODEL): 1} == told


async def test_a_call_that_fails_is_counted_as_far_as_it_came(
    client: httpx.AsyncClient, embedder: FakeEmbedder
) -> None:
    embedder.failure = InferenceFailed("it broke")
    answer = await embed(client, "a")
    assert ["read", "queue", "total"] == re.findall(r"(\w+);", answer.headers["server-timing"])
    stages = (await families(client))["gateway_stage_seconds"]
    assert {"read", "queue"} == {sample.labels["stage"] for sample in stages.samples}


def test_a_triton_that_is_gone_is_forgotten() -> None:
    """Addresses of pods are many in a year."""
    up: dict[tuple[str, ...], int] = {("one:1",): 1, ("other:1",): 1}
    metrics = Metrics(
        held_bytes=dict, held_tokens=dict, waiting_tokens=dict, triton_tokens=dict,
        triton_up=lambda: up,
    )  # fmt: skip
    timeline = Timeline("r1", MODEL)
    for address in ("one:1", "other:1"):
        with timeline.infer(address, texts=1, tokens=3):
            pass
    metrics.observe(timeline, seconds=1.0)
    assert (
        b'gateway_chunk_seconds_count{model="%s",triton="one:1"}' % MODEL.encode()
        in metrics.render()
    )
    del up[("one:1",)]
    shown = metrics.render()
    assert b"one:1" not in shown
    assert shown.count(b'_count{model="%s",triton="other:1"} 1' % MODEL.encode()) == 2


def test_a_histogram_counts_as_those_of_prometheus_do() -> None:
    bounds = (0.1, 1, 5)
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    one = Histograms(ours, "one", "What.", ("label",), bounds)
    other = Histogram("one", "What.", ("label",), registry=theirs, buckets=bounds)
    for value in (0.05, 0.1, 0.11, 1, 1.5, 5, 6, 7):
        one.observe(value, "x")
        other.labels("x").observe(value)
    one.observe(1, "y")
    other.labels("y").observe(1)
    created = re.compile(rb"^.*_created.*\n", re.MULTILINE)
    assert created.sub(b"", generate_latest(theirs)) == generate_latest(ours)


async def test_requests_to_triton_are_counted_by_what_was_in_them() -> None:
    metrics = Metrics(
        held_bytes=dict, held_tokens=dict, waiting_tokens=dict, triton_tokens=dict,
        triton_requests=lambda: {(MODEL, "shared"): 3},
    )  # fmt: skip
    line = b'gateway_triton_requests_total{kind="shared",model="%s"} 3.0' % MODEL.encode()
    assert line in metrics.render()
