"""Browsers: preflights, and answers that pages of other origins may read."""

import httpx
import pytest

from gateway import Settings, create_app
from gateway.errors import Overloaded
from tests.fakes import MODEL, FakeEmbedder
from tests.gateway.conftest import KEYS

pytestmark = pytest.mark.anyio

ORIGIN = "app://obsidian.md"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
}


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    origins = getattr(request, "param", (ORIGIN, "null"))
    return Settings(api_keys=KEYS, allowed_origins=origins)


async def preflight(client: httpx.AsyncClient, origin: str, **more: str) -> httpx.Response:
    headers = {"Origin": origin} | PREFLIGHT | more
    return await client.options("/v1/embeddings", headers=headers)


@pytest.mark.parametrize("origin", [ORIGIN, "null"])
async def test_a_page_of_an_allowed_origin_may_call(client: httpx.AsyncClient, origin: str) -> None:
    response = await preflight(client, origin)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == origin
    assert response.headers["access-control-allow-methods"] == "GET, HEAD, POST"
    assert set(PREFLIGHT["Access-Control-Request-Headers"].split(",")) <= set(
        response.headers["access-control-allow-headers"].lower().split(",")
    )
    assert "access-control-allow-credentials" not in response.headers


async def test_a_public_page_may_call_a_private_address(client: httpx.AsyncClient) -> None:
    ask = {"Access-Control-Request-Private-Network": "true"}
    response = await preflight(client, ORIGIN, **ask)
    assert response.headers["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize("origin", ["https://evil.example", f"{ORIGIN}.evil.example", ""])
async def test_another_page_may_not(client: httpx.AsyncClient, origin: str) -> None:
    response = await preflight(client, origin)
    assert response.status_code == 400
    assert "access-control-allow-origin" not in response.headers


RATE_LIMITS = {
    f"x-ratelimit-{what}-{unit}"
    for what in ("limit", "remaining", "reset")
    for unit in ("requests", "tokens")
}


async def embed(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    body = {"model": MODEL, "input": "x"}
    return await client.post("/v1/embeddings", json=body, headers={"Origin": ORIGIN} | headers)


async def test_a_page_reads_answers_and_errors(
    client: httpx.AsyncClient, embedder: FakeEmbedder
) -> None:
    answers = [await embed(client), await embed(client, Authorization="wrong")]
    embedder.failure = Overloaded("full")
    answers.append(await embed(client))
    embedder.failure = KeyError("crash")
    answers.append(await embed(client))
    answers.append(await client.get("/nothing", headers={"Origin": ORIGIN}))
    assert [answer.status_code for answer in answers] == [200, 401, 429, 500, 404]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        exposed = answer.headers["access-control-expose-headers"].lower().split(", ")
        assert {
            "x-request-id",
            "x-total-time",
            "server-timing",
            "x-model-revision",
            "x-model-edition",
            "retry-after",
            "x-should-retry",
            *RATE_LIMITS,
        } == set(exposed)
        assert "x-request-id" in answer.headers
        assert answer.headers["vary"] == "Origin"


async def test_who_is_no_page_notices_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/models")
    assert not [name for name in answer.headers if name.startswith("access-control-allow")]


@pytest.mark.parametrize("settings", [("*",)], indirect=True)
async def test_a_star_lets_every_page_in(client: httpx.AsyncClient) -> None:
    for answer in (await preflight(client, "https://any.example"), await embed(client)):
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_without_the_setting_a_preflight_is_told_of_it() -> None:
    app = create_app(Settings(api_keys=KEYS), FakeEmbedder())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await preflight(client, ORIGIN)
        assert response.status_code == 405
        assert response.headers["allow"] == "POST"
        assert "GATEWAY_ALLOWED_ORIGINS" in response.json()["message"]
        plain = await client.options("/v1/embeddings")
        assert plain.json()["message"] == "this route answers POST only"
        other = await client.put("/v1/embeddings", headers=PREFLIGHT)
        assert other.json()["message"] == "this route answers POST only"
        answer = await client.get("/health", headers={"Origin": ORIGIN})
        assert not [name for name in answer.headers if name.startswith("access-control")]
