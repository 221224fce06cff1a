"""A real checkpoint through the real Triton and the gateway, against sentence-transformers."""

import asyncio
import base64
import copy
import math
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from export.checkpoint import DEFAULT_CHECKPOINT, resolve
from tests.serving import Service
from tests.texts import mixed_texts

pytestmark = pytest.mark.triton

FORMATS = ["float", "float16", "base64", "int8", "uint8", "binary", "ubinary"]
MIN_COSINE = 0.99999  # to the reference
MAX_DIFFERENCE = 1e-5  # the same text alone, in a large call, and under concurrency


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return mixed_texts(500)


@pytest.fixture(scope="module")
def reference() -> SentenceTransformer:
    return SentenceTransformer(str(resolve(DEFAULT_CHECKPOINT).folder), device="cpu")


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, headers=service.headers, timeout=120) as client:
        yield client


@pytest.fixture
async def concurrent(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=service.url, headers=service.headers, timeout=120
    ) as client:
        yield client


def body(texts: list[str], **fields: Any) -> dict[str, Any]:
    return {"model": DEFAULT_CHECKPOINT, "input": texts, **fields}


def embed(client: httpx.Client, texts: list[str], **fields: Any) -> dict[str, Any]:
    response = client.post("/v1/embeddings", json=body(texts, **fields))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def vectors(answer: dict[str, Any]) -> NDArray[np.float32]:
    assert list(range(len(answer["data"]))) == [row["index"] for row in answer["data"]]
    return np.array([row["embedding"] for row in answer["data"]], dtype=np.float32)


def embed_all(client: httpx.Client, texts: list[str], size: int) -> NDArray[np.float32]:
    calls = [texts[start : start + size] for start in range(0, len(texts), size)]
    return np.concatenate([vectors(embed(client, call)) for call in calls])


def test_vectors_are_those_of_sentence_transformers(
    client: httpx.Client, texts: list[str], reference: SentenceTransformer
) -> None:
    expected = reference.encode(texts, normalize_embeddings=True)

    found = embed_all(client, texts, 256)

    assert (found * expected).sum(axis=1).min() >= MIN_COSINE
    np.testing.assert_allclose(found, expected, atol=MAX_DIFFERENCE)


def test_raw_vectors_are_the_reference_before_normalization(
    client: httpx.Client, texts: list[str], reference: SentenceTransformer
) -> None:
    pipeline = [reference[0], reference[1]]  # without its Normalize module
    raw = SentenceTransformer(modules=pipeline, device="cpu").encode(texts[:64])

    found = vectors(embed(client, texts[:64], normalized=False))

    np.testing.assert_allclose(found, raw, atol=5 * MAX_DIFFERENCE)


def test_a_text_has_one_vector_alone_and_in_a_large_call(
    client: httpx.Client, texts: list[str]
) -> None:
    alone = embed_all(client, texts[:64], 1)

    together = vectors(embed(client, texts[:256]))[:64]

    np.testing.assert_allclose(together, alone, atol=MAX_DIFFERENCE, rtol=0)


@pytest.mark.anyio
async def test_a_text_has_one_vector_under_sixteen_callers(
    client: httpx.Client, concurrent: httpx.AsyncClient, texts: list[str]
) -> None:
    alone = embed_all(client, texts[:160], 1)

    async def call(start: int) -> NDArray[np.float32]:
        part = texts[start : start + 10]
        response = await concurrent.post("/v1/embeddings", json=body(part))
        return vectors(response.json())

    found = np.concatenate(await asyncio.gather(*(call(start) for start in range(0, 160, 10))))

    np.testing.assert_allclose(found, alone, atol=MAX_DIFFERENCE, rtol=0)


def test_usage_counts_the_tokens_of_the_tokenizer(
    client: httpx.Client, texts: list[str], reference: SentenceTransformer
) -> None:
    for text in texts[:200]:
        expected = len(reference.tokenizer(text, truncation=True, max_length=256)["input_ids"])
        usage = embed(client, [text])["usage"]
        assert {"prompt_tokens": expected, "total_tokens": expected} == usage


def test_usage_of_the_hosted_example_is_52(client: httpx.Client) -> None:
    """Source: the five texts and the count that the hosted service reported on 2024-04-02."""
    prompt = "Represent this sentence for searching relevant passages: "
    examples = [
        f"{prompt}A man is eating a piece of bread",
        "A man is eating food.",
        "A man is eating pasta.",
        "The girl is carrying a baby.",
        "A man is riding a horse.",
    ]

    assert 52 == embed(client, examples)["usage"]["prompt_tokens"]


def test_all_formats_at_once_agree_with_each_other(client: httpx.Client, texts: list[str]) -> None:
    answer = embed(client, texts[:128], encoding_format=FORMATS)

    scale = 74.9 * math.log(384) - 59.8
    for row in answer["data"]:
        embedding = row["embedding"]
        unit = np.frombuffer(base64.b64decode(embedding["base64"]), dtype="<f4")
        np.testing.assert_array_equal(unit, np.array(embedding["float"], dtype=np.float32))
        np.testing.assert_array_equal(unit.astype("f2"), np.array(embedding["float16"], "f2"))
        scaled = unit.astype(np.float64) * scale
        np.testing.assert_array_equal(np.trunc(scaled), embedding["int8"])
        np.testing.assert_array_equal(np.floor(scaled + 128), embedding["uint8"])
        bits = "".join("1" if value > 0 else "0" for value in unit.tolist())
        expected = [int(bits[start : start + 8], 2) for start in range(0, 384, 8)]
        assert expected == embedding["ubinary"]
        assert [byte - 128 for byte in expected] == embedding["binary"]


@pytest.mark.parametrize("encoding_format", FORMATS)
def test_a_format_alone_is_what_it_is_among_others(
    client: httpx.Client, texts: list[str], encoding_format: str
) -> None:
    among = embed(client, texts[:3], encoding_format=FORMATS)

    alone = embed(client, texts[:3], encoding_format=encoding_format)

    expected = [row["embedding"][encoding_format] for row in among["data"]]
    assert expected == [row["embedding"] for row in alone["data"]]


@pytest.mark.parametrize("strategy", ["start", "end"])
def test_truncation_keeps_the_asked_end(
    client: httpx.Client, reference: SentenceTransformer, strategy: str
) -> None:
    words = ["bread", "water", "salt", "oven", "baker", "table", "seven"] * 43  # a token each
    tokenizer = copy.deepcopy(reference.tokenizer)  # other tests use it too
    tokenizer.truncation_side = "left" if strategy == "start" else "right"
    kept = tokenizer(" ".join(words), truncation=True, max_length=256)["input_ids"]
    expected = tokenizer.decode(kept, skip_special_tokens=True)

    found = embed(client, [" ".join(words)], truncation_strategy=strategy)

    assert 256 == found["usage"]["prompt_tokens"]
    np.testing.assert_allclose(
        vectors(found), vectors(embed(client, [expected])), atol=MAX_DIFFERENCE
    )


def test_refused_truncation_lists_every_long_text_of_the_call(client: httpx.Client) -> None:
    long = {3: 300, 77: 257, 200: 1000}
    texts = ["the " * (long[index] - 2) if index in long else "short" for index in range(256)]

    response = client.post("/v1/embeddings", json=body(texts, truncation_strategy="none"))

    assert 422 == response.status_code
    overflows = [{"index": index, "length": length} for index, length in long.items()]
    assert {"max_length": 256, "overflows": overflows} == response.json()["details"]


def test_a_prompt_is_part_of_the_text(client: httpx.Client) -> None:
    joined = vectors(embed(client, ["query: what is bread?"]))

    np.testing.assert_array_equal(
        joined, vectors(embed(client, ["what is bread?"], prompt="query: "))
    )


def test_texts_that_hurt_have_an_answer(client: httpx.Client) -> None:
    hurting = ["", " ", "\x00", "🍞" * 500, "ﷺ", "\ud7ff", "a" * 100_000, "\n\t\r"]

    found = vectors(embed(client, hurting))

    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_two_checkpoints_of_one_repository_are_served(
    client: httpx.Client,
) -> None:
    """Each answers to its own name, at its own size."""
    served = {model["id"]: model for model in client.get("/v1/models").json()["data"]}

    assert {DEFAULT_CHECKPOINT, "mixedbread-ai/mxbai-embed-large-v1"} == set(served)
    assert 384 == len(vectors(embed(client, ["bread"]))[0])
    large = client.post(
        "/v1/embeddings", json={"model": "mxbai-embed-large-v1", "input": "bread"}
    ).json()
    assert 1024 == large["dimensions"] == len(large["data"][0]["embedding"])
