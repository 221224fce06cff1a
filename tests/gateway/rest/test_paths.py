"""Paths as clients write them: what is plainly meant is served, the rest is told what there is."""

import json

import httpx
import pytest
from starlette.applications import Starlette

from gateway.rest.paths import MAX_TOLD_CHARACTERS, asked_path, canonical_path, nearest_first
from tests.fakes import MODEL, FakeEmbedder

pytestmark = pytest.mark.anyio

BODY = {"model": MODEL, "input": "x"}


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/embeddings", "/v1/embeddings"),
        ("/v1//embeddings", "/v1/embeddings"),
        ("//v1/embeddings", "/v1/embeddings"),
        ("/v1/embeddings///", "/v1/embeddings"),
        ("/v1/v1/embeddings", "/v1/embeddings"),
        ("/v1/v1/v1/embeddings", "/v1/embeddings"),
        ("//V1//v1/Embeddings/", "/v1/embeddings"),
        ("/Embeddings", "/embeddings"),
        ("/", "/"),
        ("//", "/"),
        ("", "/"),
        ("/v1", "/v1"),
        ("/v1/V1/", "/v1"),
        ("/Health//Live", "/health/live"),
        ("/v1/Models/Org//My-Model/", "/v1/models/Org/My-Model"),
        ("/MODELS/v1/V1/X", "/models/v1/V1/X"),
        ("/v1/models/models/Models", "/v1/models/models/Models"),
        ("/embeddings/Models/X", "/embeddings/models/x"),
        ("/v2/v1/embeddings", "/v2/v1/embeddings"),
        ("/v1/x/v1/v1", "/v1/x/v1/v1"),
    ],
)
def test_the_path_that_is_meant(path: str, meant: str) -> None:
    assert meant == canonical_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "/v1//embeddings",
        "//v1/embeddings",
        "/v1/v1/embeddings",
        "/v1/embeddings//",
        "/embeddings/",
        "/V1/Embeddings",
        "/v1/%65mbeddings",
    ],
)
async def test_embeddings_are_served_where_they_are_meant(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.post(f"http://gateway{path}", json=BODY)
    assert response.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        f"/v1//models/{MODEL}",
        f"/v1/models//{MODEL}/",
        f"/v1/v1/models/{MODEL}",
        f"/models/{MODEL.replace('/', '%2F')}",
        f"/V1/Models/{MODEL.replace('/', '//')}",
    ],
)
async def test_models_are_told_where_they_are_meant(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(f"http://gateway{path}")
    assert (response.status_code, response.json()["id"]) == (200, MODEL)


@pytest.mark.parametrize("path", ["/v1//models", "/v1/models/", "/models//", "/V1/MODELS"])
async def test_the_list_of_models_is_told_where_it_is_meant(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.get(f"http://gateway{path}")
    assert response.json()["object"] == "list"


@pytest.mark.parametrize(
    "path", ["/health/", "//health//live", "/Health/Ready/", "/metrics/", "//"]
)
async def test_the_rest_is_served_where_it_is_meant(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"http://gateway{path}")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "nearest"),
    [
        ("POST", "/v1/embedding", "POST /v1/embeddings"),
        ("POST", "/v1/embed", "POST /v1/embeddings"),
        ("POST", "/api/embeddings", "POST /v1/embeddings"),
        ("POST", "/openai/v1/embeddings", "POST /v1/embeddings"),
        ("GET", "/v1/model", "GET /v1/models"),
        ("GET", "/v1/model/x", "GET /v1/models"),
        ("GET", "/v1/health", "GET /health"),
        ("GET", "/readyz", "GET /health/ready"),
        ("GET", "/livez", "GET /health/live"),
        ("GET", "/v1/metrics", "GET /metrics"),
        ("GET", "/swagger.json", "GET /openapi.json"),
    ],
)
async def test_other_paths_are_told_what_there_is(
    client: httpx.AsyncClient, method: str, path: str, nearest: str
) -> None:
    response = await client.request(method, path)
    body = response.json()
    assert (response.status_code, body["error"]["code"]) == (404, "not_found")
    assert body["details"]["routes"][0] == nearest
    assert body["message"].startswith(f"there is no {method} {path} here; there is {nearest}, ")


async def test_every_route_is_told_once(client: httpx.AsyncClient, app: Starlette) -> None:
    details = (await client.delete("/nothing?secret")).json()["details"]
    assert (details["method"], details["path"]) == ("DELETE", "/nothing")
    assert sorted(details["routes"]) == [
        "GET /",
        "GET /docs",
        "GET /health",
        "GET /health/live",
        "GET /health/ready",
        "GET /metrics",
        "GET /openapi.json",
        "GET /operator",
        "GET /v1/models",
        "GET /v1/models/{id}",
        "POST /v1/embeddings",
    ]


async def test_what_is_told_back_is_harmless_and_short(client: httpx.AsyncClient) -> None:
    response = await client.get("/%0d%0aSet-Cookie:%20x/<script>/ü/" + "a" * 5000)
    message = response.json()["message"]
    assert "GET /%0d%0aSet-Cookie:%20x/" in message
    assert "\n" not in message
    assert len(message) < MAX_TOLD_CHARACTERS + 300
    method = "X" * 5000
    assert len((await client.request(method, "/")).json()["message"]) < 300


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ({"raw_path": b"/a%2Fb", "path": "/a/b"}, "/a%2Fb"),
        ({"path": "/ü"}, "/\\xc3\\xbc"),
        ({"raw_path": b"a" * MAX_TOLD_CHARACTERS}, "a" * MAX_TOLD_CHARACTERS),
        ({"raw_path": b"a" * (MAX_TOLD_CHARACTERS + 1)}, "a" * MAX_TOLD_CHARACTERS + "…"),
    ],
    ids=["raw", "decoded", "longest", "too-long"],
)
def test_the_path_as_it_was_asked(scope: dict[str, object], told: str) -> None:
    assert told == asked_path(scope)


def test_nearest_routes_keep_their_order_among_equals() -> None:
    assert nearest_first("/q", ["GET /a", "GET /v1/b", "POST /c"]) == [
        "GET /a",
        "GET /v1/b",
        "POST /c",
    ]


async def test_routes_keep_their_names_in_metrics(
    client: httpx.AsyncClient, embedder: FakeEmbedder
) -> None:
    for path in ("/v1//embeddings", "/V1/EMBEDDINGS", "/embeddings/"):
        await client.post(f"http://gateway{path}", json=BODY)
    await client.get("/one/nothing")
    await client.get("/another/nothing")
    text = (await client.get("/metrics")).text
    assert 'gateway_requests_total{route="create_embeddings",status="200"} 3.0' in text
    assert 'gateway_requests_total{route="unknown",status="404"} 2.0' in text
    assert "nothing" not in text
    assert json.dumps("V1") not in text
