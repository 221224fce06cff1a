"""The app with a cache: what a caller and an operator see of it."""

import httpx
import pytest
from starlette.applications import Starlette

from gateway import Settings, create_app
from gateway.errors import TritonUnavailable
from gateway.inference.embedder import Ensemble, Repository
from tests.fakes import EDITION, ENSEMBLE, MODEL, PARAMETERS, FakeEmbedder
from tests.gateway.conftest import KEYS

pytestmark = pytest.mark.anyio


@pytest.fixture
def embedder() -> FakeEmbedder:
    return FakeEmbedder(Repository([Ensemble(ENSEMBLE, parameters=PARAMETERS, edition=EDITION)]))


@pytest.fixture
def settings() -> Settings:
    return Settings(api_keys=KEYS, cache="memory")


async def embed(client: httpx.AsyncClient, *texts: str, key: str = "KEY") -> httpx.Response:
    return await client.post(
        "/v1/embeddings",
        json={"model": MODEL, "input": texts, "prompt": "q: "},
        headers={"Authorization": f"Bearer {key}"},
    )


async def test_a_second_answer_is_the_first_one(
    client: httpx.AsyncClient, embedder: FakeEmbedder
) -> None:
    first = await embed(client, "a b", "c")
    again = await embed(client, "a b", "c")
    assert (200, first.content) == (again.status_code, again.content)
    assert [[b"q: a b", b"q: c"]] == [list(call.texts) for call in embedder.calls]
    await embed(client, "c", key="SECOND")
    assert len(embedder.calls) == 2
    metrics = (await client.get("/metrics")).text
    assert f'gateway_cache_hits_total{{model="{MODEL}"}} 2.0' in metrics
    assert f'gateway_cache_misses_total{{model="{MODEL}"}} 3.0' in metrics
    assert f"gateway_cache_bytes {3 * (200 + 34 + 8 + 4096)}" in metrics
    assert f'gateway_tokens_total{{model="{MODEL}"}} 22.0' in metrics


async def test_what_is_known_is_no_sign_of_life(
    client: httpx.AsyncClient, app: Starlette, embedder: FakeEmbedder
) -> None:
    await embed(client, "a")
    embedder.failure = TritonUnavailable("away")
    assert (await embed(client, "b")).status_code == 503
    assert app.state.gateway.health.trouble(ENSEMBLE)
    assert (await embed(client, "a")).status_code == 200
    assert app.state.gateway.health.trouble(ENSEMBLE)


async def test_off_there_is_none(embedder: FakeEmbedder) -> None:
    app = create_app(Settings(auth="off"), embedder)
    assert app.state.gateway.embedder is embedder
