"""What a call leaves in metrics and in the log, through the routes."""

import hashlib
from pathlib import Path

import httpx
import pytest

from gateway import Settings
from gateway.errors import TritonUnavailable
from tests.fakes import MODEL, FakeEmbedder
from tests.gateway.conftest import KEYS
from tests.gateway.usage.logs import records

pytestmark = pytest.mark.anyio

KEY_LABEL = hashlib.sha256(b"KEY").hexdigest()[:8]
TEXT = "never in a log"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(api_keys=KEYS, usage_log=str(tmp_path), usage_sync_seconds=0.001)


async def embed(client: httpx.AsyncClient, *texts: str, **headers: str) -> httpx.Response:
    body = {"model": MODEL, "input": texts}
    return await client.post("/v1/embeddings", json=body, headers=headers)


async def test_the_log_says_what_the_answer_says(client: httpx.AsyncClient, tmp_path: Path) -> None:
    answer = await embed(client, TEXT, "x")
    (record,) = records(tmp_path)
    assert record.tokens == answer.json()["usage"]["total_tokens"] == 9
    assert record.request_id == answer.headers["x-request-id"]
    assert (record.texts, record.model, record.revision) == (2, MODEL, "abc")
    assert record.digest == record.key == KEY_LABEL


async def test_the_same_id_again_is_another_call(client: httpx.AsyncClient, tmp_path: Path) -> None:
    for _ in range(2):
        await embed(client, "x", **{"x-request-id": "mine"})
    assert [(record.request_id, record.number) for record in records(tmp_path)] == [
        ("mine", 1),
        ("mine", 2),
    ]


async def test_calls_without_embeddings_cost_nothing(
    client: httpx.AsyncClient, embedder: FakeEmbedder, tmp_path: Path
) -> None:
    assert (await embed(client, TEXT, authorization="Bearer WRONG")).status_code == 401
    assert (await embed(client)).status_code == 422
    embedder.failure = TritonUnavailable("away")
    assert (await embed(client, TEXT)).status_code == 503
    assert list(tmp_path.iterdir()) == []


async def test_no_text_and_no_key_is_in_the_log(client: httpx.AsyncClient, tmp_path: Path) -> None:
    await embed(client, TEXT)
    (file,) = tmp_path.iterdir()
    assert TEXT.encode() not in file.read_bytes()
    assert b"KEY" not in file.read_bytes()


async def test_metrics_by_key_and_model(client: httpx.AsyncClient) -> None:
    await embed(client, TEXT, "x")
    lines = (await client.get("/metrics")).text.splitlines()
    labels = f'{{key="{KEY_LABEL}",model="{MODEL}"}}'
    assert f"gateway_usage_calls_total{labels} 1.0" in lines
    assert f"gateway_usage_texts_total{labels} 2.0" in lines
    assert f"gateway_usage_tokens_total{labels} 9.0" in lines


async def test_a_log_that_cannot_be_written_is_seen_at_once_and_stops_no_answer(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    tmp_path.rmdir()
    assert (await embed(client, "x")).status_code == 200
    lines = (await client.get("/metrics")).text.splitlines()
    assert "gateway_usage_unwritten_records 1.0" in lines
    assert "gateway_usage_lost_records_total 0.0" in lines
    assert "gateway_usage_sync_failures_total 0.0" in lines
    assert (await client.get("/health/ready")).status_code == 200
    tmp_path.mkdir()
