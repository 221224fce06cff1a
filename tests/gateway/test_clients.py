"""The two python SDKs against the served app: the acceptance programs of the contract, 8.1, 8.2."""

import base64
import math
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import mixedbread
import numpy as np
import openai
import pytest
from langchain_openai import OpenAIEmbeddings
from mixedbread import Mixedbread
from openai import OpenAI
from pydantic import SecretStr

from gateway import Settings, create_app
from gateway.inference.embedder import Ensemble, Repository
from tests import tiktoken_cache
from tests.fakes import ENSEMBLE, MODEL, PARAMETERS, FakeEmbedder
from tests.gateway.conftest import KEYS
from tests.gateway.key_tables import key_table, write_keys
from tests.gateway.serving import serve_app
from tests.texts import mixed_texts

OWN = {
    "prompts": '{"query": "query: ", "document": ""}',
    "default_prompt_name": "query",
    "similarity": "dot",
}
ALL_FORMATS = ["float", "float16", "base64", "binary", "ubinary", "int8", "uint8"]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    ensemble = Ensemble(ENSEMBLE, parameters=PARAMETERS | OWN)
    embedder = FakeEmbedder(Repository([ensemble]))
    file = write_keys(
        tmp_path_factory.mktemp("keys") / "keys.toml",
        key_table("LIMITED", requests_per_minute=1, tokens_per_minute=50),
        key_table("SLOW", requests_per_minute=1),
        key_table("NARROW", models=["org/other"]),
    )
    settings = Settings(api_keys=KEYS, api_keys_file=file)
    with serve_app(create_app(settings, embedder)) as port:
        address = f"http://127.0.0.1:{port}"
        while httpx.get(f"{address}/health/ready").status_code != 200:
            time.sleep(0.01)
        yield address


@pytest.fixture
def mxbai(address: str) -> Iterator[Mixedbread]:
    with Mixedbread(
        api_key="KEY", base_url=address, max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


@pytest.fixture(params=["", "/v1"], ids=["bare-host", "v1"])
def gpt(address: str, request: pytest.FixtureRequest) -> Iterator[OpenAI]:
    with OpenAI(api_key="KEY", base_url=address + request.param, max_retries=0) as client:
        yield client


def test_mixedbread_reads_the_envelope(mxbai: Mixedbread) -> None:
    response = mxbai.embeddings.create(model=MODEL, input=["hi", "yo"])
    assert (response.object, response.normalized, response.encoding_format) == (
        "list",
        True,
        "float",
    )
    assert [(item.index, item.object) for item in response.data] == [
        (0, "embedding"),
        (1, "embedding"),
    ]
    assert response.usage.prompt_tokens == response.usage.total_tokens > 0
    embedding: Any = response.data[0].embedding
    assert len(embedding) == response.dimensions
    assert math.fsum(x * x for x in embedding) == pytest.approx(1, abs=1e-3)


def test_mixedbread_reads_every_format(mxbai: Mixedbread) -> None:
    formats: Any = ALL_FORMATS
    response = mxbai.embed(model=MODEL, input="hi", encoding_format=formats)
    embedding: Any = response.data[0].embedding
    assert response.data[0].object == "embedding_dict"
    assert [byte - 128 for byte in embedding.ubinary] == embedding.binary
    decoded = struct.unpack(f"<{response.dimensions}f", base64.b64decode(embedding.base64))
    assert list(decoded) == pytest.approx(embedding.float, abs=1e-6)
    signs = [embedding.ubinary[i // 8] >> (7 - i % 8) & 1 for i in range(len(decoded))]
    assert [int(x > 0) for x in embedding.float] == signs


def test_mixedbread_may_send_nulls(mxbai: Mixedbread) -> None:
    nothing: Any = None
    response = mxbai.embed(model=MODEL, input="hi", dimensions=nothing, prompt=nothing)
    assert response.dimensions == 1024
    assert response.usage.prompt_tokens == 4  # the model's own prompt counts
    assert mxbai.embed(model=MODEL, input="hi", prompt="").usage.prompt_tokens == 3


def test_mixedbread_reads_the_service_information(mxbai: Mixedbread) -> None:
    assert mxbai.info().name == "triton-embeddings"


@pytest.mark.parametrize(
    "fields",
    [
        {"input": []},
        {"input": ["x"] * 257},
        {"input": "x", "dimensions": 0},
        {"input": "x", "prompt": "p" * 257},
    ],
    ids=["no-text", "257-texts", "dimensions", "prompt"],
)
def test_mixedbread_raises_for_a_bad_field(mxbai: Mixedbread, fields: dict[str, Any]) -> None:
    with pytest.raises(mixedbread.UnprocessableEntityError) as caught:
        mxbai.embed(model=MODEL, **fields)
    body: Any = caught.value.body
    assert body["message"] == body["error"]["message"]


def test_mixedbread_raises_for_a_wrong_key(address: str) -> None:
    with (
        Mixedbread(api_key="wrong", base_url=address, max_retries=0) as client,
        pytest.raises(mixedbread.AuthenticationError),
    ):
        client.embed(model=MODEL, input="x")


def test_openai_decodes_base64_to_the_same_numbers(gpt: OpenAI) -> None:
    packed = gpt.embeddings.create(model=MODEL, input=["hi"])  # sends encoding_format base64
    plain = gpt.embeddings.create(model=MODEL, input=["hi"], encoding_format="float", user="u1")
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)
    assert packed.usage == plain.usage
    assert packed._request_id


def test_openai_lists_and_retrieves_models(gpt: OpenAI) -> None:
    assert [model.id for model in gpt.models.list()] == [MODEL]
    model = gpt.models.retrieve(MODEL)
    assert model.object == "model"
    expected = {"query": "query: ", "document": ""}, "query", "dot"
    extra = model.model_extra or {}
    keys = ("prompts", "default_prompt_name", "similarity")
    assert expected == tuple(extra[key] for key in keys)


def test_openai_passes_our_fields_as_extra_body(gpt: OpenAI) -> None:
    extra = {"prompt": "q: ", "normalized": False, "truncation_strategy": "start"}
    changed = gpt.embeddings.create(model=MODEL, input="hi", extra_body=extra)
    plain = gpt.embeddings.create(model=MODEL, input="hi")
    assert changed.data[0].embedding != plain.data[0].embedding


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": "wrong-id"}, "model_not_found", "model"),
        ({"input": [[1, -2]]}, "invalid_value", "input"),
        ({"encoding_format": "bad"}, "invalid_value", "encoding_format"),
    ],
    ids=["model", "token-ids", "format"],
)
def test_openai_raises_with_code_and_param(
    gpt: OpenAI, fields: dict[str, Any], code: str, param: str
) -> None:
    call: dict[str, Any] = {"model": MODEL, "input": "x"} | fields
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        gpt.embeddings.create(**call)
    assert (code, param) == (caught.value.code, caught.value.param)
    assert caught.value.type
    assert caught.value.request_id


@pytest.fixture
def langchain(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OpenAIEmbeddings]:
    """With its default settings, which send token ids."""
    for name, value in tiktoken_cache.fill(tmp_path).items():
        monkeypatch.setenv(name, value)
    with httpx.Client() as sync_client:  # which it would leave open
        yield OpenAIEmbeddings(
            model=MODEL,
            api_key=SecretStr("KEY"),
            base_url=address,
            max_retries=0,
            http_client=sync_client,
        )


def test_langchain_needs_no_settings(langchain: OpenAIEmbeddings, gpt: OpenAI) -> None:
    texts = [*mixed_texts(255), "👩‍👩‍👧 <|endoftext|>"]
    expected = gpt.embeddings.create(model=MODEL, input=texts)
    found = np.array(langchain.embed_documents(texts))
    assert np.abs(found - [item.embedding for item in expected.data]).max() < 1e-6
    (alone,) = gpt.embeddings.create(model=MODEL, input=texts[3]).data
    assert alone.embedding == pytest.approx(langchain.embed_query(texts[3]), abs=1e-6)


def test_langchain_is_told_of_too_many_texts(langchain: OpenAIEmbeddings) -> None:
    texts = mixed_texts(300)
    with pytest.raises(openai.UnprocessableEntityError, match="300 texts, the limit is 256"):
        langchain.embed_documents(texts)
    assert 300 == len(langchain.embed_documents(texts, chunk_size=256))


def test_openai_raises_for_a_wrong_key(address: str) -> None:
    with (
        OpenAI(api_key="wrong", base_url=address, max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.embeddings.create(model=MODEL, input="x")
    assert caught.value.code == "invalid_api_key"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the SDK wanted to sleep before it asked again."""
    seconds: list[float] = []
    monkeypatch.setattr(time, "sleep", seconds.append)  # nobody should wait for a minute
    return seconds


def test_openai_waits_as_long_as_a_used_up_limit_says(address: str, waits: list[float]) -> None:
    with OpenAI(api_key="LIMITED", base_url=address, max_retries=2) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            client.embeddings.create(model=MODEL, input="x " * 200)
        assert (caught.value.code, waits) == ("above_rate_limit", [])  # it never fits
        first = client.embeddings.with_raw_response.create(model=MODEL, input="x")
        assert first.headers["x-ratelimit-remaining-requests"] == "0"
        assert first.headers["x-ratelimit-limit-tokens"] == "50"
        with pytest.raises(openai.RateLimitError) as caught:
            client.embeddings.create(model=MODEL, input="x")
    assert (caught.value.code, waits) == ("rate_limit_exceeded", [30, 30])


def test_openai_raises_for_a_model_that_is_not_for_the_key(address: str) -> None:
    with (
        OpenAI(api_key="NARROW", base_url=address, max_retries=0) as client,
        pytest.raises(openai.PermissionDeniedError) as caught,
    ):
        client.embeddings.create(model=MODEL, input="x")
    assert caught.value.code == "forbidden"


def test_mixedbread_raises_for_limits_and_models(address: str, waits: list[float]) -> None:
    with (
        Mixedbread(api_key="NARROW", base_url=address, max_retries=0) as client,
        pytest.raises(mixedbread.PermissionDeniedError),
    ):
        client.embed(model=MODEL, input="x")
    with Mixedbread(api_key="SLOW", base_url=address, max_retries=1) as client:
        client.embed(model=MODEL, input="x")
        with pytest.raises(mixedbread.RateLimitError):
            client.embed(model=MODEL, input="x")
    assert waits == [30]
