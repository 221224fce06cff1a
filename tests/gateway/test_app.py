"""The app and TritonEmbedder together, with Triton's protocol on the other side."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from gateway import Settings, create_app
from gateway.inference.triton import TritonEmbedder
from tests.fakes import MODEL, FakeTriton, serve_triton
from tests.gateway.conftest import KEYS

pytestmark = pytest.mark.anyio

# "Recovers by itself": the sum of the catalogue's interval and gRPC's backoff, with room.
RECOVERY_SECONDS = 2.5


@pytest.fixture
async def port() -> int:
    """A port that was free a moment ago."""
    async with serve_triton(FakeTriton()) as port:
        return port


@pytest.fixture
async def client(port: int) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(api_keys=KEYS), TritonEmbedder(f"127.0.0.1:{port}"))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://gateway",
            headers={"Authorization": "Bearer KEY"},
        ) as client,
    ):
        yield client


async def embed(client: httpx.AsyncClient, **fields: object) -> httpx.Response:
    return await client.post("/v1/embeddings", json={"model": MODEL, "input": "x"} | fields)


async def wait_until_served(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(RECOVERY_SECONDS):
        while (await embed(client)).status_code != 200:
            await asyncio.sleep(0.02)


async def test_triton_may_come_later_and_go_and_come_back(
    client: httpx.AsyncClient, port: int
) -> None:
    assert (await embed(client)).status_code == 503
    for _ in range(2):
        async with serve_triton(FakeTriton(), port):
            await wait_until_served(client)
            assert (await client.get("/health/ready")).status_code == 200
        response = await embed(client)
        assert (response.status_code, response.headers["retry-after"]) == (503, "2")


async def test_a_call_of_256_texts_comes_back_in_order(
    client: httpx.AsyncClient, port: int
) -> None:
    texts = [f"{index} " * (index % 50 + 1) for index in range(256)]
    async with serve_triton(FakeTriton(), port):
        await wait_until_served(client)
        together = (await embed(client, input=texts, encoding_format="base64")).json()
        alone = (await embed(client, input=texts[131], encoding_format="base64")).json()
    assert [item["index"] for item in together["data"]] == list(range(256))
    assert together["data"][131]["embedding"] == alone["data"][0]["embedding"]
    assert together["usage"]["total_tokens"] == sum(index % 50 + 3 for index in range(256))


async def test_too_long_texts_are_named_over_all_chunks(
    client: httpx.AsyncClient, port: int
) -> None:
    texts = ["x", "x " * 600] * 20
    async with serve_triton(FakeTriton(), port):
        await wait_until_served(client)
        response = await embed(client, input=texts, truncation_strategy="none")
    overflows = response.json()["details"]["overflows"]
    assert [overflow["index"] for overflow in overflows] == list(range(1, 40, 2))
