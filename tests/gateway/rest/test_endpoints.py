"""The routes on FakeEmbedder: what a caller sends and gets."""

import asyncio
import base64
import hashlib
import json
import tracemalloc
from collections.abc import Callable
from math import ceil
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.routing import Route

from gateway import Settings, create_app
from gateway.access.keys import Caller
from gateway.errors import TritonUnavailable
from gateway.inference.embedder import Ensemble, Repository
from tests.fakes import ENSEMBLE, MODEL, PARAMETERS, FakeEmbedder, embed_raw, quantize
from tests.gateway.conftest import KEYS

pytestmark = pytest.mark.anyio

FORMATS = ["float", "float16", "base64", "binary", "ubinary", "int8", "uint8"]


async def embed(client: httpx.AsyncClient, **fields: object) -> httpx.Response:
    return await client.post("/v1/embeddings", json={"model": MODEL, "input": "a b"} | fields)


@pytest.mark.parametrize(
    "path", ["/v1/embeddings", "/v1/embeddings/", "/embeddings", "/embeddings/?x=1"]
)
async def test_embeddings_are_served_without_redirects(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.post(path, json={"model": MODEL, "input": "x"})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")


async def test_the_envelope(client: httpx.AsyncClient) -> None:
    body = (await embed(client, input=["a b", "c"], dimensions=64)).json()
    embeddings = [item.pop("embedding") for item in body["data"]]
    expected = {
        "model": MODEL,
        "object": "list",
        "data": [{"object": "embedding", "index": 0}, {"object": "embedding", "index": 1}],
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
        "normalized": True,
        "encoding_format": "float",
        "dimensions": 64,
    }
    assert expected == body
    reference = quantize(embed_raw([b"a b", b"c"]), 64, normalized=True)["float"]
    assert reference.tobytes() == np.array(embeddings, dtype=np.float32).tobytes()


async def test_every_format_at_once(client: httpx.AsyncClient) -> None:
    body = (await embed(client, encoding_format=FORMATS, dimensions=13)).json()
    embedding = body["data"][0]["embedding"]
    reference = quantize(embed_raw([b"a b"]), 13, normalized=True)
    assert FORMATS == list(embedding) == body["encoding_format"]
    assert reference["float"].tobytes() == base64.b64decode(embedding["base64"])
    for name in ("float16", "binary", "ubinary", "int8", "uint8"):
        assert reference[name][0].tolist() == pytest.approx(embedding[name], abs=1e-3)


async def test_the_content_type_of_a_request_does_not_matter(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    content = json.dumps({"model": MODEL, "input": "x"}).encode()
    response = await client.post("/v1/embeddings", content=content, headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize("name", [MODEL, "mxbai-embed-large-v1", "large"])
async def test_the_answer_carries_the_canonical_id(client: httpx.AsyncClient, name: str) -> None:
    assert (await embed(client, model=name)).json()["model"] == MODEL


@pytest.mark.parametrize(
    ("choice", "headers", "expected"),
    [
        ("auto", {}, "embedding"),
        ("auto", {"X-Stainless-Lang": "python"}, "embedding_dict"),
        ("auto", {"X-FERN-LANGUAGE": "JavaScript"}, "embedding_dict"),
        ("embedding", {"X-Stainless-Lang": "python"}, "embedding"),
        ("embedding_dict", {}, "embedding_dict"),
    ],
)
async def test_the_object_of_items_with_several_formats(
    choice: Any, headers: dict[str, str], expected: str
) -> None:
    app = create_app(Settings(auth="off", multi_format_object=choice), FakeEmbedder())
    await app.state.gateway.catalogue.refresh()
    body = {"model": MODEL, "input": "x", "encoding_format": ["int8", "ubinary"]}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        response = await client.post("/v1/embeddings", json=body, headers=headers)
        assert expected == response.json()["data"][0]["object"]
        single = await client.post(
            "/v1/embeddings", json=body | {"encoding_format": ["int8"]}, headers=headers
        )
        assert single.json()["data"][0]["object"] == "embedding"


async def test_options_reach_the_embedder(
    client: httpx.AsyncClient, embedder: FakeEmbedder
) -> None:
    await client.post(
        "/v1/embeddings",
        json={
            "model": "large",
            "input": ["a", "b"],
            "prompt": "q:",
            "normalized": False,
            "dimensions": 256,
            "truncation_strategy": "start",
            "encoding_format": ["base64", "float", "int8"],
        },
        headers={"x-request-id": "r1"},
    )
    (call,) = embedder.calls
    assert (call.ensemble, call.texts, call.dimensions) == (ENSEMBLE, (b"q:a", b"q:b"), 256)
    assert (call.normalized, call.truncation, call.timeline.request_id) == (False, "start", "r1")
    assert call.number_formats == ("float", "int8")
    assert (call.token_estimates, call.micro_batch_tokens) == ([3, 3], 32)


async def test_models_are_listed(client: httpx.AsyncClient) -> None:
    (model,) = (await client.get("/v1/models/")).json()["data"]
    assert (model["id"], model["object"], model["owned_by"]) == (MODEL, "model", "mixedbread-ai")
    assert isinstance(model["created"], int)
    assert (model["dimensions"], model["max_length"]) == (1024, 512)
    schema = (await client.get("/openapi.json")).json()["components"]["schemas"]["Model"]
    assert list(schema["properties"]) == list(model)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ({}, None, None)),
        ({"prompts": "{}", "default_prompt_name": "", "similarity": ""}, ({}, None, None)),
        (
            {
                "prompts": '{"查": "查询\uff1a", "d": ""}',
                "default_prompt_name": "查",
                "similarity": "dot",
            },
            ({"查": "查询\uff1a", "d": ""}, "查", "dot"),
        ),
    ],
    ids=["exported-before", "none", "all"],
)
async def test_a_model_shows_its_prompts_and_its_similarity(
    client: httpx.AsyncClient,
    app: Starlette,
    embedder: FakeEmbedder,
    parameters: dict[str, str],
    expected: tuple[object, ...],
) -> None:
    await serve_with(app, embedder, **parameters)
    (listed,) = (await client.get("/v1/models")).json()["data"]
    assert expected == tuple(
        listed[key] for key in ("prompts", "default_prompt_name", "similarity")
    )
    assert listed == (await client.get(f"/v1/models/{MODEL}")).json()


async def serve_with(app: Starlette, embedder: FakeEmbedder, **parameters: str) -> None:
    """Changes what the fake's ensemble says of itself."""
    embedder.repositories = Repository([Ensemble(ENSEMBLE, parameters=PARAMETERS | parameters)])
    await app.state.gateway.catalogue.refresh()


DEFAULT_PROMPT = {"prompts": '{"d": "", "q": "is query:"}', "default_prompt_name": "q"}


@pytest.mark.parametrize(
    ("fields", "texts", "tokens"),
    [
        ({}, (b"is query:a b", b"is query:c"), 9),
        ({"prompt": None}, (b"is query:a b", b"is query:c"), 9),
        ({"prompt": "is query:"}, (b"is query:a b", b"is query:c"), 9),
        ({"prompt": ""}, (b"a b", b"c"), 7),
        ({"prompt": "q"}, (b"q a b", b"q c"), 9),  # never a name
    ],
    ids=["absent", "null", "by-hand", "empty", "another"],
)
async def test_the_default_prompt_is_that_of_calls_that_give_none(
    client: httpx.AsyncClient,
    app: Starlette,
    embedder: FakeEmbedder,
    fields: dict[str, Any],
    texts: tuple[bytes, ...],
    tokens: int,
) -> None:
    """Usage counts it, as it counts a prompt that is given."""
    await serve_with(app, embedder, **DEFAULT_PROMPT)
    response = await embed(client, input=["a b", "c"], **fields)
    (call,) = embedder.calls
    assert (texts, tokens) == (call.texts, response.json()["usage"]["prompt_tokens"])
    assert [ceil(len(text) / 3) + 2 for text in texts] == call.token_estimates


async def test_a_default_prompt_that_ends_in_a_word_is_joined_as_its_author_has_it(
    client: httpx.AsyncClient, app: Starlette, embedder: FakeEmbedder
) -> None:
    """As sentence-transformers' `encode`; a caller's own words are kept apart."""
    await serve_with(app, embedder, prompts='{"q": "query"}', default_prompt_name="q")
    await embed(client, input=["bread"])
    await embed(client, input=["bread"], prompt="query")

    assert [(b"querybread",), (b"query bread",)] == [call.texts for call in embedder.calls]


async def test_a_text_is_too_long_with_the_default_prompt_before_it(
    client: httpx.AsyncClient, app: Starlette, embedder: FakeEmbedder
) -> None:
    await serve_with(app, embedder, **DEFAULT_PROMPT)
    text = "a " * 510  # with two special tokens at the limit
    sent = {"input": ["a", text], "truncation_strategy": "none"}
    response = await embed(client, **sent)
    assert (422, "input_too_long") == (response.status_code, response.json()["error"]["code"])
    assert [{"index": 1, "length": 513}] == response.json()["details"]["overflows"]
    assert (await embed(client, **sent, prompt="")).status_code == 200


async def test_room_for_the_prompt_of_every_text_is_taken_before_it_is_copied(
    client: httpx.AsyncClient, app: Starlette, embedder: FakeEmbedder
) -> None:
    """A short body can ask for 256 times the default prompt."""
    long = json.dumps({"q": "x" * 60_000})
    await serve_with(app, embedder, prompts=long, default_prompt_name="q")
    ledger, room = app.state.gateway.ledger, app.state.gateway.settings.max_inflight_bytes
    embedder.pause_seconds = 0.1
    call = asyncio.create_task(embed(client, input=["bread", "!"], dimensions=1))
    await wait_until(lambda: embedder.calls)
    assert [60_000 * 2 + 6 + 2 * 4] == list(ledger.held_bytes().values())
    await call
    ledger.open(Caller(b"other")).hold(room - 10 * 2**20)
    tracemalloc.start()
    try:
        assert (await embed(client, input=["a"] * 256)).status_code == 429
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert (await embed(client, input=["a"] * 256, prompt="", dimensions=1)).status_code == 200


async def test_models_are_listed_with_the_names_that_mean_them(
    client: httpx.AsyncClient, app: Starlette, embedder: FakeEmbedder
) -> None:
    known = Ensemble(ENSEMBLE, parameters=PARAMETERS)
    other = Ensemble("x", parameters=PARAMETERS | {"served_name": "x", "aliases": '["large", "y"]'})
    embedder.repositories = Repository([known, other])
    await app.state.gateway.catalogue.refresh()
    listed = (await client.get("/v1/models")).json()["data"]
    names = {model["id"]: model["names"] for model in listed}
    assert {MODEL: [MODEL, "mxbai-embed-large-v1"], "x": ["x", "y"]} == names
    assert {MODEL: ["large"], "x": ["large", "y"]} == {m["id"]: m["aliases"] for m in listed}
    for response in (await client.get("/v1/models/large"), await embed(client, model="large")):
        assert response.status_code == 422
        assert {"model": "large", "candidates": [MODEL, "x"]} == response.json()["details"]


@pytest.mark.parametrize("dimensions", [-(2**50), 0, 1, 512, 1024, 2**50])
async def test_a_call_holds_the_bytes_that_its_embeddings_may_need(
    client: httpx.AsyncClient, app: Starlette, embedder: FakeEmbedder, dimensions: int
) -> None:
    embedder.pause_seconds = 0.1
    call = asyncio.create_task(embed(client, input="bread", dimensions=dimensions))
    await wait_until(lambda: embedder.calls)
    expected = dimensions if dimensions in (1, 512) else 1024
    assert [len("bread") + 4 * expected] == list(app.state.gateway.ledger.held_bytes().values())
    await call


@pytest.mark.parametrize("name", [MODEL, MODEL.replace("/", "%2F"), f"{MODEL}/", "large"])
async def test_a_model_is_retrieved(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/v1/models/{name}")).json()["id"] == MODEL


async def test_an_unknown_model_is_not_found(client: httpx.AsyncClient) -> None:
    response = await client.get("/models/x")
    assert response.status_code == 404
    assert (response.json()["type"], response.json()["error"]["code"]) == (
        "not_found_error",
        "model_not_found",
    )


@pytest.mark.parametrize("path", ["/v1/models", f"/v1/models/{MODEL}"])
async def test_models_need_a_key(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path, headers={"Authorization": "x"})).status_code == 401


@pytest.mark.parametrize(
    "path", ["/", "/health", "/health/live", "/health/ready", "/metrics", "/openapi.json"]
)
async def test_the_other_routes_need_no_key(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path, headers={"Authorization": ""})).status_code == 200


async def test_info_names_the_service(client: httpx.AsyncClient) -> None:
    assert {"name", "version"} == set((await client.get("/")).json())


async def test_auth_can_be_turned_off() -> None:
    app = create_app(Settings(auth="off"), FakeEmbedder())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        await app.state.gateway.catalogue.refresh()
        for headers in ({}, {"Authorization": "Bearer dummy"}):
            response = await client.get("/v1/models", headers=headers)
            assert response.status_code == 200


async def test_before_triton_is_up_everything_is_503(
    client: httpx.AsyncClient, app: Starlette
) -> None:
    starting = create_app(
        Settings(api_keys=KEYS), FakeEmbedder(repositories=TritonUnavailable("starting"))
    )
    transport = httpx.ASGITransport(starting)
    headers = {"Authorization": "Bearer KEY"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gateway", headers=headers
    ) as client:
        for response in (
            await embed(client),
            await embed(client, model="never-heard-of"),
            await client.get("/v1/models"),
            await client.get("/v1/models/x"),
            await client.get("/health/ready"),
        ):
            assert response.status_code == 503
            assert 1 <= int(response.headers["retry-after"]) <= 30
        assert (await client.get("/health/live")).status_code == 200


async def test_ready_is_honest(
    client: httpx.AsyncClient, app: Starlette, embedder: FakeEmbedder
) -> None:
    assert (await client.get("/health/ready")).status_code == 200
    embedder.repositories = Repository([Ensemble(ENSEMBLE, "loading")])
    await app.state.gateway.catalogue.refresh()
    assert (await client.get("/health/ready")).status_code == 503


async def test_a_model_that_loads_again_is_known_and_not_ready(
    client: httpx.AsyncClient, app: Starlette, embedder: FakeEmbedder
) -> None:
    known = Ensemble(ENSEMBLE, parameters=PARAMETERS)
    other = Ensemble("other", parameters=PARAMETERS | {"served_name": "other", "aliases": "[]"})
    embedder.repositories = Repository([known, other])
    await app.state.gateway.catalogue.refresh()
    embedder.repositories = Repository([known, Ensemble("other", "loading")])
    await app.state.gateway.catalogue.refresh()
    assert (await client.get("/health/ready")).status_code == 503
    assert (await embed(client)).status_code == 200
    assert (await embed(client, model="third")).status_code == 422


async def read_metrics(client: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    text = (await client.get("/metrics")).text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_count_what_was_answered(client: httpx.AsyncClient) -> None:
    await embed(client, input=["a b", "c"])
    await embed(client, input=[])
    await client.get("/no/such/route")
    numbers = await read_metrics(client)
    assert numbers["gateway_requests_total", "create_embeddings", "200"] == 1
    assert numbers["gateway_requests_total", "create_embeddings", "422"] == 1
    assert numbers["gateway_requests_total", "unknown", "404"] == 1
    assert numbers["gateway_texts_total", MODEL] == 2
    assert numbers["gateway_tokens_total", MODEL] == 7
    assert numbers["gateway_in_flight_requests",] == 1  # the one that asks


async def test_metrics_count_what_failed_upstream(
    client: httpx.AsyncClient, embedder: FakeEmbedder
) -> None:
    embedder.failure = TritonUnavailable("away")
    await embed(client)
    numbers = await read_metrics(client)
    assert numbers["gateway_upstream_errors_total", "service_unavailable"] == 1


KEY_LABEL = hashlib.sha256(b"KEY").hexdigest()[:8]


async def test_metrics_say_who_asked(client: httpx.AsyncClient) -> None:
    await embed(client)
    await embed(client, input=[])
    await client.get("/v1/models", headers={"Authorization": "wrong"})
    numbers = await read_metrics(client)
    asked = {labels[1:] for labels in numbers if labels[0] == "gateway_key_requests_total"}
    assert {(KEY_LABEL, "200"), (KEY_LABEL, "422")} == asked


async def test_what_a_call_holds_is_seen_and_returns_to_nothing(
    client: httpx.AsyncClient, embedder: FakeEmbedder
) -> None:
    embedder.pause_seconds = 0.2
    call = asyncio.create_task(embed(client, input=["bread " * 100] * 2, dimensions=256))
    await wait_until(lambda: embedder.calls)
    numbers = await read_metrics(client)
    assert numbers["gateway_held_bytes", KEY_LABEL] == 2 * 600 + 2 * 256 * 4
    assert numbers["gateway_held_tokens", KEY_LABEL, "waiting"] == 2 * 202
    await call
    numbers = await read_metrics(client)
    held = {labels: number for labels, number in numbers.items() if "held" in labels[0]}
    assert {0.0} == set(held.values())
    assert ("gateway_held_tokens", KEY_LABEL, "triton") in held


async def test_the_estimate_learns_what_the_tokenizer_found(
    client: httpx.AsyncClient, embedder: FakeEmbedder
) -> None:
    """Each of the fake's words is a token: two bytes of `x ` and not three."""
    for _ in range(40):
        await embed(client, input=["x " * 400] * 4)
    before, after = embedder.calls[0], embedder.calls[-1]
    assert (269, 401) == (before.token_estimates[0], after.token_estimates[0])


async def test_a_call_that_needs_more_memory_than_there_is_room_is_turned_away(
    app: Starlette, client: httpx.AsyncClient, embedder: FakeEmbedder
) -> None:
    ledger = app.state.gateway.ledger
    ledger.open(Caller(b"other")).hold(app.state.gateway.settings.max_inflight_bytes - 2000)
    assert (await embed(client, dimensions=64)).status_code == 200
    response = await embed(client)  # 1024 floats
    assert (429, "overloaded") == (response.status_code, response.json()["error"]["code"])
    assert 1 <= int(response.headers["retry-after"]) <= 30
    assert len(embedder.calls) == 1


async def test_an_answer_waits_for_the_room_that_others_take(
    app: Starlette, client: httpx.AsyncClient, embedder: FakeEmbedder
) -> None:
    answers = app.state.gateway.answers
    room = app.state.gateway.settings.max_inflight_bytes // 2
    await answers.take(Caller(b"other"), room - 1024 * 13 + 1)
    call = asyncio.create_task(embed(client))
    await wait_until(lambda: answers.waiting_tokens)
    assert answers.waiting_tokens == 1024 * 13
    answers.give_back(room - 1024 * 13 + 1)
    assert (await call).status_code == 200
    assert answers.in_flight_tokens == 0


async def wait_until(statement: Callable[[], object]) -> None:
    async with asyncio.timeout(3):
        while not statement():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("texts", [1, 256])
async def test_an_answer_is_whole_whatever_its_size(client: httpx.AsyncClient, texts: int) -> None:
    response = await embed(client, input=["a"] * texts)
    assert len(response.json()["data"]) == texts
    assert int(response.headers["content-length"]) == len(response.content)


HI_THERE = [6151, 1070]  # "hi there" in cl100k_base


@pytest.mark.parametrize(
    ("ids", "texts"),
    [
        (HI_THERE, ["hi there"]),
        ([HI_THERE, [], [6151]], ["hi there", "", "hi"]),
    ],
    ids=["one-text", "several"],
)
async def test_token_ids_are_answered_as_their_texts(
    client: httpx.AsyncClient, ids: object, texts: list[str]
) -> None:
    fields = {"prompt": "q: ", "encoding_format": ["float", "int8"], "dimensions": 64}
    expected = (await embed(client, input=texts, **fields)).json()
    assert expected == (await embed(client, input=ids, **fields)).json()


async def test_token_ids_stand_for_no_more_bytes_than_a_body_has(
    client: httpx.AsyncClient, app: Starlette
) -> None:
    many_spaces = 58_040  # 128 of them
    response = await embed(client, input=[many_spaces] * 800)
    assert (413, "payload_too_large") == (response.status_code, response.json()["error"]["code"])
    assert not app.state.gateway.ledger.held_bytes()
    assert (await embed(client, input=[many_spaces] * 700)).status_code == 200


async def test_token_ids_can_be_refused(embedder: FakeEmbedder) -> None:
    app = create_app(Settings(auth="off", token_ids="off"), embedder)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway"
    ) as client:
        response = await embed(client, input=[HI_THERE])
    assert response.status_code == 422
    assert "GATEWAY_TOKEN_IDS" in response.json()["message"]


async def test_the_schema_lists_every_route(client: httpx.AsyncClient, app: Starlette) -> None:
    schema = (await client.get("/openapi.json")).json()
    routes = [route for route in app.routes if isinstance(route, Route) and route.include_in_schema]
    paths = {route.path.replace(":path", "") for route in routes}
    documented = set(schema["paths"])
    assert documented <= paths
    assert {path for path in paths if path == "/" or not path.endswith("/")} == documented
