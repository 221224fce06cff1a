"""What a key of a file may do, as callers and operators see it."""

import logging
import re
import time
from pathlib import Path

import httpx
import pytest

from gateway import Settings
from gateway.errors import InferenceFailed
from gateway.inference.embedder import Ensemble, Repository
from tests.fakes import ENSEMBLE, MODEL, PARAMETERS, FakeEmbedder
from tests.gateway.key_tables import key_table, write_keys

pytestmark = pytest.mark.anyio

OTHER = "org/other"
NARROW = {"Authorization": "Bearer NARROW"}
LIMITED = {"Authorization": "Bearer LIMITED"}


@pytest.fixture
def embedder() -> FakeEmbedder:
    other = PARAMETERS | {"served_name": OTHER, "aliases": "[]"}
    ensembles = [
        Ensemble(ENSEMBLE, parameters=PARAMETERS),
        Ensemble("org--other", parameters=other),
    ]
    return FakeEmbedder(Repository(ensembles))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    tables = (
        key_table("KEY"),
        key_table("NARROW", models=[MODEL]),
        key_table("LIMITED", requests_per_minute=3, tokens_per_minute=12),
    )
    return Settings(api_keys_file=write_keys(tmp_path / "keys.toml", *tables))


async def listed(client: httpx.AsyncClient, **headers: str) -> list[str]:
    answer = await client.get("/v1/models", headers=headers)
    return [model["id"] for model in answer.json()["data"]]


async def test_a_key_sees_its_models_only(client: httpx.AsyncClient) -> None:
    assert await listed(client) == [MODEL, OTHER]
    assert await listed(client, **NARROW) == [MODEL]
    assert (await client.get(f"/v1/models/{MODEL}", headers=NARROW)).status_code == 200
    assert (await client.get(f"/v1/models/{OTHER}", headers=NARROW)).status_code == 403
    assert (await client.get(f"/v1/models/{OTHER}")).status_code == 200


async def test_logs_and_metrics_call_a_key_by_its_name(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "gateway.access"):
        await client.post("/v1/embeddings", json={"model": MODEL, "input": "x"}, headers=NARROW)
    assert " key=narrow " in caplog.text
    metrics = (await client.get("/metrics")).text
    assert 'gateway_key_requests_total{key="narrow",status="200"} 1.0' in metrics
    assert 'gateway_held_bytes{key="narrow"}' not in metrics  # nothing is held any more


async def limited(client: httpx.AsyncClient, **fields: object) -> httpx.Response:
    """A call of three tokens with the key that has limits."""
    body = {"model": MODEL, "input": "x"} | fields
    return await client.post("/v1/embeddings", json=body, headers=LIMITED)


def left(response: httpx.Response) -> tuple[str | None, str | None]:
    """Requests and tokens that the answer says are left."""
    requests, tokens = (
        response.headers.get(f"x-ratelimit-remaining-{what}") for what in ("requests", "tokens")
    )
    return requests, tokens


async def test_every_answer_to_a_call_that_counts_tells_what_is_left(
    client: httpx.AsyncClient, embedder: FakeEmbedder
) -> None:
    first = await limited(client)
    assert (first.status_code, left(first)) == (200, ("2", "9"))
    assert first.headers["x-ratelimit-limit-requests"] == "3"
    assert first.headers["x-ratelimit-limit-tokens"] == "12"
    assert re.fullmatch(r"59\.\d+s|1m0s", first.headers["x-ratelimit-reset-tokens"])
    assert left(await limited(client, input=[])) == (None, None)  # says nothing, counts nothing
    assert left(await limited(client, model="nope")) == (None, None)
    embedder.failure = InferenceFailed("it broke")
    failed = await limited(client)
    assert (failed.status_code, left(failed)) == (500, ("1", "9"))
    embedder.failure = None
    assert left(await limited(client)) == ("0", "6")
    refused = await limited(client)
    assert (refused.status_code, left(refused)) == (429, ("0", "6"))
    metrics = (await client.get("/metrics")).text
    assert 'gateway_rate_limited_total{key="limited",limit="requests"} 1.0' in metrics
    assert "gateway_rate_limits_shared 0.0" in metrics
    assert "x-ratelimit-limit-requests" not in (await client.get("/v1/models")).headers


async def test_a_refusal_is_that_of_the_contract(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await limited(client)
    response = await limited(client)
    body = response.json()
    assert (body["type"], body["error"]["type"]) == ("too_many_requests_error", "rate_limit_error")
    assert (body["error"]["code"], body["error"]["param"]) == ("rate_limit_exceeded", None)
    reset = int(body["details"].pop("reset"))
    assert 0 <= reset - time.time() <= 61
    assert body["details"] == {"retry_after": 30, "limit": "3", "remaining": "0"}
    assert response.headers["retry-after"] == "30"
    assert "3 requests a minute" in body["message"]
    again = await client.post("/v1/embeddings", content=b"{", headers=LIMITED)  # is not read
    assert again.json()["error"]["code"] == "rate_limit_exceeded"
    metrics = (await client.get("/metrics")).text
    assert 'gateway_rate_limited_total{key="limited",limit="requests"} 2.0' in metrics


async def test_the_tokens_that_were_embedded_are_charged(
    client: httpx.AsyncClient, embedder: FakeEmbedder
) -> None:
    """Ten words are guessed at more tokens than they have, or fewer."""
    response = await limited(client, input="a b c d e f g")
    tokens = response.json()["usage"]["total_tokens"]
    assert embedder.calls[0].token_estimates != [tokens] == [9]
    assert left(response) == ("2", "3")
    assert (await limited(client, input=["a", "b"])).json()["error"]["code"] == (
        "rate_limit_exceeded"
    )
