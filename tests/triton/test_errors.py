"""Every error of the contract that can be provoked on the real service.

The rate limit of a key and a key that is not allowed here (429 and 403) are raised by no release:
tests/gateway/test_errors.py holds their bodies.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from export.checkpoint import DEFAULT_CHECKPOINT
from gateway.local.triton_process import LOOPBACK, free_ports
from gateway.rest.paths import nearest_first
from tests.serving import API_KEY, PATIENCE_SECONDS, Service, run_gateway
from tests.triton.conftest import TOY_CONFIG, RunTriton

pytestmark = pytest.mark.triton

LARGE = "mixedbread-ai/mxbai-embed-large-v1"
EMBEDDINGS = "/v1/embeddings"
INVALID = "invalid_request_error"


@dataclass(frozen=True)
class Row:
    """What is wrong, and all that the caller is told."""

    condition: str
    status: int
    type: str
    code: str
    param: str | None = None
    openai_type: str = INVALID
    details: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    content: bytes | None = None
    method: str = "POST"
    path: str = EMBEDDINGS
    authorization: str = f"Bearer {API_KEY}"


def unauthorized(condition: str, authorization: str, **request: Any) -> Row:
    return Row(
        condition, 401, "unauthorized_error", "invalid_api_key",
        openai_type="authentication_error", headers={"www-authenticate": "Bearer"},
        authorization=authorization, **request,
    )  # fmt: skip


def wrong_method(method: str, path: str, allowed: str) -> Row:
    return Row(
        f"{method} {path}", 405, "method_not_allowed_error", "method_not_allowed",
        headers={"allow": allowed}, method=method, path=path,
    )  # fmt: skip


ROUTES = [
    *("POST /v1/embeddings", "GET /v1/models", "GET /v1/models/{id}"),
    *("GET /health", "GET /health/live", "GET /health/ready"),
    *("GET /metrics", "GET /openapi.json", "GET /", "GET /operator", "GET /docs"),
]


def no_route(condition: str, method: str, path: str, **changes: Any) -> Row:
    details = {"method": method, "path": path, "routes": nearest_first(path, ROUTES)}
    return Row(
        condition, 404, "not_found_error", "not_found", openai_type="not_found_error",
        method=method, path=path, details=details, **changes,
    )  # fmt: skip


def no_json(condition: str, content: bytes) -> Row:
    return Row(condition, 400, "bad_request_error", "invalid_json", content=content)


def missing(param: str, **fields: Any) -> Row:
    detail = {"type": "missing", "loc": ["body", param], "msg": f"{param} is required"}
    return Row(
        f"no {param}", 422, "validation_error", "missing", param, details=[detail], fields=fields
    )


def invalid(param: str, **fields: Any) -> Row:
    value = repr(fields[param])
    condition = f"{param} {value if len(value) < 30 else f'of {len(value)} characters'}"
    return Row(
        condition, 422, "validation_error", "invalid_value", param, details=..., fields=fields
    )


def dimensions_outside(dimensions: int, model: str, native: int) -> Row:
    return Row(
        f"dimensions {dimensions}", 422, "invalid_matryoshka_dimensions_error",
        "invalid_dimensions", "dimensions",
        details={"dimensions": dimensions, "min": 1, "max": native},
        fields={"model": model, "dimensions": dimensions},
    )  # fmt: skip


ROWS = [
    unauthorized("no key", ""),
    unauthorized("unknown key", "Bearer wrong"),
    unauthorized("another scheme", f"Basic {API_KEY}"),
    unauthorized("a key in another case", f"Bearer {API_KEY.lower()}"),
    unauthorized("unknown key for the models", "wrong", method="GET", path="/v1/models"),
    no_route("unknown route", "POST", "/v1/reranking"),
    no_route("unknown route, no key", "GET", "/nope", authorization=""),
    Row("GET of a model not served", 404, "not_found_error", "model_not_found",
        openai_type="not_found_error", method="GET", path="/v1/models/org%2Fnone"),
    wrong_method("GET", EMBEDDINGS, "POST"),
    wrong_method("PUT", "/embeddings/", "POST"),
    wrong_method("OPTIONS", EMBEDDINGS, "POST"),
    wrong_method("DELETE", "/v1/models", "GET, HEAD"),
    Row("body too large", 413, "payload_too_large_error", "payload_too_large",
        details={"max_bytes": 4 * 2**20}, content=b" " * (5 * 2**20)),
    no_json("no body", b""),
    no_json("half an object", b'{"model": "x", "input": ["a'),
    no_json("an array", b"[]"),
    no_json("not UTF-8", b'{"model": "\xff", "input": "x"}'),
    no_json("UTF-16 without a mark", '{"input": "x"}'.encode("utf-16-le")),
    no_json("NaN", b'{"input": "x", "dimensions": NaN}'),
    no_json("infinity", b'{"input": "x", "dimensions": -Infinity}'),
    no_json("100000 arrays", b"[" * 100_000 + b"]" * 100_000),
    no_json("100000 arrays and half a pair",
            b'{"input": "\\ud800", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    missing("model", model=None),
    missing("input", input=None),
    invalid("model", model=7),
    invalid("model", model=""),
    invalid("model", model="\ud800"),
    invalid("input", input=[]),
    invalid("input", input=["x"] * 257),
    invalid("input", input=""),
    invalid("input", input=["x", None]),
    invalid("input", input=[1, -2, 3]),
    invalid("input", input=[[1, -2], [3]]),
    invalid("input", input=[{"text": "x"}]),
    invalid("input", input=["x", "a \udfff b"]),
    invalid("prompt", prompt=["q: "]),
    invalid("prompt", prompt="p" * 257),
    invalid("prompt", prompt="\udc00"),
    invalid("normalized", normalized="true"),
    invalid("normalized", normalized=1),
    invalid("dimensions", dimensions="8"),
    invalid("dimensions", dimensions=8.5),
    invalid("dimensions", dimensions=True),
    invalid("dimensions", dimensions=10**25),
    invalid("encoding_format", encoding_format="bad"),
    invalid("encoding_format", encoding_format=[]),
    invalid("encoding_format", encoding_format=[{}]),
    invalid("truncation_strategy", truncation_strategy="middle"),
    invalid("truncation_strategy", truncation_strategy={}),
    Row("model not served", 422, "model_not_found_error", "model_not_found", "model",
        details={"model": "org/none\0", "available": [LARGE, DEFAULT_CHECKPOINT]},
        fields={"model": "org/none\0"}),
    dimensions_outside(0, LARGE, 1024),
    dimensions_outside(-(2**40), LARGE, 1024),
    dimensions_outside(1025, LARGE, 1024),
    dimensions_outside(385, DEFAULT_CHECKPOINT, 384),
    Row("dimensions not trained for", 422, "invalid_matryoshka_model_error",
        "dimensions_not_supported", "dimensions",
        details={"model": DEFAULT_CHECKPOINT, "dimensions": 384}, fields={"dimensions": 383}),
    Row("texts too long", 422, "truncation_error", "input_too_long", "input",
        details={"max_length": 256, "overflows": [{"index": 1, "length": 257}]},
        fields={"input": ["the " * 254, "the " * 255], "truncation_strategy": "none"}),
]  # fmt: skip


def send(client: httpx.Client, row: Row) -> httpx.Response:
    headers = {"Authorization": row.authorization}
    if row.method != "POST":
        return client.request(row.method, row.path, headers=headers)
    if row.content is not None:
        return client.post(row.path, content=row.content, headers=headers)
    return client.post(row.path, content=body(row.fields), headers=headers)


def body(fields: dict[str, Any]) -> bytes:
    """A call of the default model; halves of surrogate pairs are escaped."""
    return json.dumps({"model": DEFAULT_CHECKPOINT, "input": "x"} | fields).encode()


def check(response: httpx.Response, row: Row) -> None:
    """Status, the merged body with its one message in three places, headers."""
    found = response.json()
    details = found["details"] if row.details is ... else row.details
    assert found == {
        "type": row.type,
        "url": f"urn:triton-embeddings:error:{row.code}",
        "message": found["message"],
        "details": details,
        "detail": details if isinstance(details, list) else found["message"],
        "error": {
            "message": found["message"],
            "type": row.openai_type,
            "param": row.param,
            "code": row.code,
        },
    }
    assert (row.status, "application/json") == (
        response.status_code,
        response.headers["content-type"],
    )
    assert found["message"]
    if row.details is ...:
        assert [row.param] == [detail["loc"][1] for detail in details]
        assert [found["message"]] == [detail["msg"] for detail in details]
    assert row.headers == {
        name: response.headers[name]
        for name in ("allow", "retry-after", "www-authenticate", "x-should-retry")
        if name in response.headers
    }
    assert response.headers["x-request-id"].startswith("req_")


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    """A client of the service, which answers after all the tests as it did before."""
    with httpx.Client(base_url=service.url, timeout=PATIENCE_SECONDS) as client:
        correct = Row("nothing", 200, "", "", fields={"input": ["bread", "water"]})
        before = send(client, correct).json()["data"]
        yield client
        assert before == send(client, correct).json()["data"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.condition.replace(" ", "-"))
def test_the_caller_is_told_what_is_wrong(client: httpx.Client, row: Row) -> None:
    check(send(client, row), row)


def test_the_request_id_of_the_caller_comes_back_with_an_error(client: httpx.Client) -> None:
    response = client.get("/nope", headers={"x-request-id": "trace-7"})
    assert response.headers["x-request-id"] == "trace-7"


# The text says what the step does.
FRAGILE_MODEL = """
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        text = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy()[0].decode()
        if text == "raise":
            raise RuntimeError("a secret of the step")
        if text == "refuse":
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("a secret of the step"))
        if text == "sleep":
            time.sleep(1.5)
        value = np.nan if text == "nan" else 0.5
        size = 3 if text == "short" else 4
        return pb_utils.InferenceResponse([
            pb_utils.Tensor("FLOAT", np.full((1, size), value, np.float32)),
            pb_utils.Tensor("TOKEN_COUNT", np.full(1, 3, np.int32)),
            pb_utils.Tensor("WIDTH", np.array([4], np.int32)),
        ])
"""
QUEUE = "dynamic_batching {{ default_queue_policy {{ {} }} }}"
QUEUES = {
    "patient": "",
    "narrow": QUEUE.format("max_queue_size: 1"),
    "hasty": QUEUE.format("default_timeout_microseconds: 200000"),
}


def internal(condition: str, text: str, **headers: str) -> Row:
    return Row(
        condition, 500, "server_error", "internal_error", openai_type="server_error",
        headers=headers, fields={"input": text},
    )  # fmt: skip


BROKEN = [
    internal("a step that raises", "raise"),
    internal("a step that refuses", "refuse"),
    internal("not a number", "nan", **{"x-should-retry": "false"}),
    internal("a tensor too short", "short", **{"x-should-retry": "false"}),
]
AWAY = Row(
    "Triton away", 503, "service_unavailable_error", "service_unavailable",
    openai_type="server_error", headers={"retry-after": "2"},
)  # fmt: skip
WHY = "the inference server is not ready"


def not_ready(address: str) -> Row:
    troubles = {"models": {"Triton": f"does not answer: {WHY}"}}
    return replace(AWAY, details=troubles | {"tritons": {address: f"away: fails: {WHY}"}})


OVERLOADED = Row(
    "too much in flight", 429, "too_many_requests_error", "overloaded",
    openai_type="rate_limit_error", details={"retry_after": 1}, headers={"retry-after": "1"},
)  # fmt: skip
TIMEOUT = Row("deadline passed", 504, "timeout_error", "timeout", openai_type="server_error")


@pytest.fixture(scope="module")
def fragile_triton(run_triton: RunTriton, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The gRPC port of a Triton with one fragile model for each kind of queue."""
    repository = tmp_path_factory.mktemp("fragile")
    for name, queue in QUEUES.items():
        (repository / name / "1").mkdir(parents=True)
        config = TOY_CONFIG.replace('"toy"', f'"{name}"') + queue
        (repository / name / "config.pbtxt").write_text(config)
        (repository / name / "1/model.py").write_text(FRAGILE_MODEL)
    return run_triton(repository).grpc_port


@pytest.fixture(scope="module")
def fragile(fragile_triton: int) -> Iterator[httpx.Client]:
    with run_gateway(fragile_triton) as client:
        yield client


def call(client: httpx.Client, row: Row, model: str = "patient") -> httpx.Response:
    return send(client, replace(row, fields={"model": model} | row.fields))


def answers(client: httpx.Client) -> bool:
    return call(client, Row("nothing", 200, "", "")).status_code == 200


@contextmanager
def sleeping(client: httpx.Client, model: str, calls: int = 1) -> Iterator[None]:
    """Calls that keep the model's one instance busy while the block runs."""
    row = Row("sleep", 200, "", "", fields={"input": "sleep"})
    with ThreadPoolExecutor(calls) as pool:
        for _ in range(calls):
            pool.submit(call, client, row, model)
            time.sleep(0.1)  # the next one waits behind it
        yield


@pytest.mark.parametrize("row", BROKEN, ids=lambda row: row.condition.replace(" ", "-"))
def test_a_broken_step_is_an_internal_error(fragile: httpx.Client, row: Row) -> None:
    response = call(fragile, row)
    check(response, row)
    assert "secret" not in response.text
    assert answers(fragile)


def test_the_queue_of_triton_is_full(fragile: httpx.Client) -> None:
    with sleeping(fragile, "narrow", calls=2):
        check(call(fragile, OVERLOADED, "narrow"), OVERLOADED)


def test_a_call_is_not_left_in_the_queue_of_triton(fragile: httpx.Client) -> None:
    with sleeping(fragile, "hasty"):
        check(call(fragile, TIMEOUT, "hasty"), TIMEOUT)


def test_the_gateway_has_too_much_in_flight(fragile_triton: int) -> None:
    with run_gateway(fragile_triton, GATEWAY_MAX_INFLIGHT_TOKENS="1") as client:
        with sleeping(client, "patient"):
            check(call(client, OVERLOADED), OVERLOADED)
        assert answers(client)


def test_the_deadline_of_the_gateway_passes(fragile_triton: int) -> None:
    with run_gateway(fragile_triton, GATEWAY_TIMEOUT_SECONDS="0.5") as client:
        check(call(client, replace(TIMEOUT, fields={"input": "sleep"})), TIMEOUT)


def test_triton_is_away() -> None:
    (port,) = free_ports(1)
    with run_gateway(port, awaited="/health/live") as client:
        check(call(client, AWAY), AWAY)
        check(client.get("/health/ready"), not_ready(f"{LOOPBACK}:{port}"))
        check(client.get("/v1/models", headers={"Authorization": API_KEY}), AWAY)
