"""Every row of the contract's table of errors, as the caller gets it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway import Settings, create_app
from gateway.errors import (
    AmbiguousModel,
    ContractMismatch,
    GatewayError,
    InferenceFailed,
    LimitsAway,
    ModelReplaced,
    NotFinite,
    Overloaded,
    TritonTimeout,
    TritonUnavailable,
    UpstreamError,
)
from gateway.inference.embedder import Ensemble, Repository
from tests.fakes import ENSEMBLE, MODEL, PARAMETERS, FakeEmbedder
from tests.gateway.conftest import KEYS
from tests.gateway.key_tables import Bare, key_table, write_keys

pytestmark = pytest.mark.anyio

FIXED = "org/fixed"  # not trained for cut dimensions
FIXED_PARAMETERS = PARAMETERS | {"served_name": FIXED, "matryoshka": "false", "aliases": "[]"}


@dataclass(frozen=True)
class Row:
    """A row of the table: what is sent, or fails, and what comes back."""

    condition: str
    status: int
    type: str
    code: str
    param: str | None
    openai_type: str
    details: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    content: bytes | None = None
    method: str = "POST"
    path: str = "/v1/embeddings"
    authorization: str = "Bearer KEY"
    encoding: str = "identity"
    failure: Exception | None = None


INVALID = "invalid_request_error"

ROWS = [
    Row("no key", 401, "unauthorized_error", "invalid_api_key", None, "authentication_error",
        headers={"www-authenticate": "Bearer"}, authorization=""),
    Row("unknown key", 401, "unauthorized_error", "invalid_api_key", None, "authentication_error",
        headers={"www-authenticate": "Bearer"}, authorization="Bearer wrong"),
    Row("expired key", 401, "unauthorized_error", "expired_api_key", None, "authentication_error",
        headers={"www-authenticate": "Bearer"}, authorization="Bearer EXPIRED"),
    Row("a model that is not for the key", 403, "forbidden_error", "forbidden", None,
        "permission_error", authorization="Bearer NARROW", fields={"model": FIXED}),
    Row("an unknown model of a key", 422, "model_not_found_error", "model_not_found", "model",
        INVALID, details={"model": "x", "available": [MODEL]}, authorization="Bearer NARROW",
        fields={"model": "x"}),
    Row("unknown route", 404, "not_found_error", "not_found", None, "not_found_error",
        path="/v1/reranking", details={"method": "POST", "path": "/v1/reranking", "routes": [
            "POST /v1/embeddings", "GET /metrics", "GET /openapi.json", "GET /operator",
            "GET /health/live", "GET /health", "GET /health/ready", "GET /v1/models/{id}",
            "GET /v1/models", "GET /", "GET /docs"]}),
    Row("wrong method", 405, "method_not_allowed_error", "method_not_allowed", None, INVALID,
        headers={"allow": "POST"}, method="GET"),
    Row("wrong method on a GET route", 405, "method_not_allowed_error", "method_not_allowed",
        None, INVALID, headers={"allow": "GET, HEAD"}, method="PUT", path="/v1/models"),
    Row("body too large", 413, "payload_too_large_error", "payload_too_large", None, INVALID,
        details={"max_bytes": 100_000}, content=b" " * 100_001),
    Row("unknown encoding", 415, "unsupported_media_type_error", "unsupported_encoding", None,
        INVALID, details={"supported": ["gzip", "deflate"]}, content=b"{}",
        headers={"accept-encoding": "gzip, deflate"}, encoding="br"),
    Row("damaged body", 400, "bad_request_error", "invalid_encoding", None, INVALID, content=b"{}",
        encoding="gzip"),
    Row("no JSON", 400, "bad_request_error", "invalid_json", None, INVALID, content=b"{"),
    Row("missing", 422, "validation_error", "missing", "input", INVALID,
        details=[{"type": "missing", "loc": ["body", "input"], "msg": "input is required"}],
        fields={"input": None}),
    Row("out of bounds", 422, "validation_error", "invalid_value", "input", INVALID,
        details=[{"type": "invalid_value", "loc": ["body", "input"],
                  "msg": "input holds 257 texts, the limit is 256"}],
        fields={"input": ["x"] * 257}),
    Row("model not served", 422, "model_not_found_error", "model_not_found", "model", INVALID,
        details={"model": "x", "available": [MODEL, FIXED]}, fields={"model": "x"}),
    Row("ambiguous model", 422, "ambiguous_model_error", "ambiguous_model", "model", INVALID,
        details={"model": "large", "candidates": ["org/a", "org/b"]},
        failure=AmbiguousModel("large", ["org/b", "org/a"])),
    Row("model replaced", 503, "service_unavailable_error", "service_unavailable", None,
        "server_error", headers={"retry-after": "2"}, failure=ModelReplaced()),
    Row("dimensions too small", 422, "invalid_matryoshka_dimensions_error", "invalid_dimensions",
        "dimensions", INVALID, details={"dimensions": 0, "min": 1, "max": 1024},
        fields={"dimensions": 0}),
    Row("dimensions too large", 422, "invalid_matryoshka_dimensions_error", "invalid_dimensions",
        "dimensions", INVALID, details={"dimensions": 1025, "min": 1, "max": 1024},
        fields={"dimensions": 1025}),
    Row("dimensions not trained for", 422, "invalid_matryoshka_model_error",
        "dimensions_not_supported", "dimensions", INVALID,
        details={"model": FIXED, "dimensions": 1024}, fields={"model": FIXED, "dimensions": 512}),
    Row("text too long", 422, "truncation_error", "input_too_long", "input", INVALID,
        details={"max_length": 512, "overflows": [{"index": 1, "length": 602},
                                                  {"index": 2, "length": 513}]},
        fields={"input": ["x" , "x " * 600, "x " * 511, "x " * 510],
                "truncation_strategy": "none"}),
    Row("overload", 429, "too_many_requests_error", "overloaded", None, "rate_limit_error",
        headers={"retry-after": "1"}, details={"retry_after": 1}, failure=Overloaded("full")),
    Row("a call above the limit of its key", 429, "too_many_requests_error", "above_rate_limit",
        "input", "rate_limit_error", headers={"x-should-retry": "false"},
        details={"tokens": 3, "limit": "2"}, authorization="Bearer SLOW"),
    Row("limits cannot be counted", 503, "service_unavailable_error", "service_unavailable", None,
        "server_error", headers={"retry-after": "2"}, failure=LimitsAway()),
    Row("Triton away", 503, "service_unavailable_error", "service_unavailable", None,
        "server_error", headers={"retry-after": "2"}, failure=TritonUnavailable("away")),
    Row("deadline passed", 504, "timeout_error", "timeout", None, "server_error",
        failure=TritonTimeout("late")),
    Row("a step raised", 500, "server_error", "internal_error", None, "server_error",
        failure=InferenceFailed("failed")),
    Row("non-finite vector", 500, "server_error", "internal_error", None, "server_error",
        headers={"x-should-retry": "false"}, failure=NotFinite("NaN")),
    Row("Triton disagrees", 500, "server_error", "internal_error", None, "server_error",
        headers={"x-should-retry": "false"}, failure=ContractMismatch("tensor")),
    Row("crash", 500, "server_error", "internal_error", None, "server_error",
        failure=KeyError("secret")),
]  # fmt: skip


@pytest.fixture
def embedder() -> FakeEmbedder:
    ensembles = [
        Ensemble(ENSEMBLE, parameters=PARAMETERS),
        Ensemble("org--fixed", parameters=FIXED_PARAMETERS),
    ]
    return FakeEmbedder(Repository(ensembles))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = write_keys(
        tmp_path / "keys.toml",
        key_table("EXPIRED", expires=Bare("2026-01-01")),
        key_table("NARROW", models=[MODEL]),
        key_table("SLOW", tokens_per_minute=2),
    )
    return Settings(api_keys=KEYS, api_keys_file=file, max_body_bytes=100_000)


async def send(client: httpx.AsyncClient, row: Row) -> httpx.Response:
    headers = {"Authorization": row.authorization, "Content-Encoding": row.encoding}
    if row.method != "POST":
        return await client.request(row.method, row.path, headers=headers)
    if row.content is not None:
        return await client.post(row.path, content=row.content, headers=headers)
    body = {"model": MODEL, "input": "x"} | row.fields
    return await client.post(row.path, json=body, headers=headers)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.condition.replace(" ", "-"))
async def test_the_row_of_the_table(
    client: httpx.AsyncClient, embedder: FakeEmbedder, row: Row
) -> None:
    embedder.failure = row.failure
    response = await send(client, row)
    body = response.json()
    assert (row.status, row.type) == (response.status_code, body["type"])
    assert (row.code, row.param, row.openai_type) == (
        body["error"]["code"],
        body["error"]["param"],
        body["error"]["type"],
    )
    assert row.details == body["details"]
    assert row.headers == {
        name: response.headers[name]
        for name in (
            "accept-encoding",
            "allow",
            "retry-after",
            "www-authenticate",
            "x-should-retry",
        )
        if name in response.headers
    }
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"].startswith("req_")


async def test_nothing_foreign_is_told(client: httpx.AsyncClient, embedder: FakeEmbedder) -> None:
    embedder.failure = KeyError("secret")
    response = await client.post("/v1/embeddings", json={"model": MODEL, "input": "x"})
    assert "secret" not in response.text


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_large_body_without_announcement_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/embeddings", content=chunks(b" " * 60_000, b" " * 60_000))
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("authorization", "content", "status"),
    [
        ("wrong", b" " * 100_001, 401),
        ("KEY", b" " * 100_001, 413),
        ("KEY", b"{", 400),
        ("KEY", b'{"model":"x","input":[],"dimensions":0}', 422),
    ],
    ids=["auth-before-size", "size-before-json", "json-before-fields", "fields-before-model"],
)
async def test_the_order_of_checks(
    client: httpx.AsyncClient, authorization: str, content: bytes, status: int
) -> None:
    headers = {"Authorization": authorization}
    response = await client.post("/v1/embeddings", content=content, headers=headers)
    assert status == response.status_code


async def test_the_model_is_checked_before_its_dimensions(client: httpx.AsyncClient) -> None:
    body = {"model": "x", "input": "x", "dimensions": 0}
    response = await client.post("/v1/embeddings", json=body)
    assert response.json()["error"]["code"] == "model_not_found"


def every_error(kind: type[GatewayError] = GatewayError) -> list[type[GatewayError]]:
    below = [error for child in kind.__subclasses__() for error in every_error(child)]
    return [kind, *below]


@pytest.mark.parametrize("kind", every_error(UpstreamError), ids=lambda kind: kind.__name__)
def test_retry_after_is_what_every_client_honours(kind: type[UpstreamError]) -> None:
    retry_after = kind("…").headers.get("Retry-After")
    assert retry_after is None or 1 <= int(retry_after) <= 30


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_no_status_is_one_that_clients_retry_blindly(kind: type[GatewayError]) -> None:
    assert kind.status not in (408, 409)


async def test_more_tokens_than_the_bound_are_turned_away() -> None:
    embedder = FakeEmbedder(pause_seconds=0.05)
    app = create_app(Settings(auth="off", max_inflight_tokens=3), embedder)
    await app.state.gateway.catalogue.refresh()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        responses = await asyncio.gather(
            *(client.post("/embeddings", json={"model": MODEL, "input": "x"}) for _ in range(3))
        )
    assert sorted(response.status_code for response in responses) == [200, 429, 429]


async def slowly(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(60)


async def test_a_slow_upload_ends_at_the_deadline() -> None:
    app = create_app(Settings(auth="off", timeout_seconds=0.05), FakeEmbedder())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.post("/embeddings", content=slowly(b"{", b"}"))
    assert response.status_code == 504


async def test_the_deadline_is_the_gateways_own() -> None:
    embedder = FakeEmbedder(pause_seconds=60)
    app = create_app(Settings(api_keys=KEYS, timeout_seconds=0.05), embedder)
    await app.state.gateway.catalogue.refresh()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        headers = {"Authorization": "KEY"}
        body = {"model": MODEL, "input": "x"}
        response = await client.post("/embeddings", json=body, headers=headers)
    assert (response.status_code, embedder.cancelled) == (504, 1)
