"""What a key of a file may do, as callers and operators see it."""

import logging
from pathlib import Path

import httpx
import pytest

from gateway import Settings
from gateway.inference.embedder import Ensemble, Repository
from tests.fakes import ENSEMBLE, MODEL, PARAMETERS, FakeEmbedder
from tests.gateway.key_tables import key_table, write_keys

pytestmark = pytest.mark.anyio

OTHER = "org/other"
NARROW = {"Authorization": "Bearer NARROW"}


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
    tables = key_table("KEY"), key_table("NARROW", models=[MODEL])
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
