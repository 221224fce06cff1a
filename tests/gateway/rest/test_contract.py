"""Response → bytes, errors → bytes."""

import json

import numpy as np
import pytest

from gateway.errors import GatewayError, MissingField, Unauthorized
from gateway.rest.contract import EmbeddingResponse, render_error, render_response


def test_one_format_renders_as_the_worked_example() -> None:
    response = EmbeddingResponse(
        model="mixedbread-ai/mxbai-embed-large-v1",
        columns={"ubinary": np.array([[170]], dtype=np.uint8)},
        tokens=3,
        normalized=True,
        dimensions=8,
    )
    expected = (
        b'{"model":"mixedbread-ai/mxbai-embed-large-v1","object":"list",'
        b'"data":[{"object":"embedding","index":0,"embedding":[170]}],'
        b'"usage":{"prompt_tokens":3,"total_tokens":3},'
        b'"normalized":true,"encoding_format":"ubinary","dimensions":8}'
    )
    assert expected == render_response(response)


def test_several_formats_render_as_the_worked_example() -> None:
    response = EmbeddingResponse(
        model="mixedbread-ai/mxbai-embed-large-v1",
        columns={
            "int8": np.array([[47, -47, 23, -23, 47, -23, 23, 0]], dtype=np.int8),
            "ubinary": np.array([[170]], dtype=np.uint8),
        },
        tokens=3,
        normalized=True,
        dimensions=8,
        dict_object="embedding_dict",
    )
    expected = (
        b'{"model":"mixedbread-ai/mxbai-embed-large-v1","object":"list",'
        b'"data":[{"object":"embedding_dict","index":0,'
        b'"embedding":{"int8":[47,-47,23,-23,47,-23,23,0],"ubinary":[170]}}],'
        b'"usage":{"prompt_tokens":3,"total_tokens":3},'
        b'"normalized":true,"encoding_format":["int8","ubinary"],"dimensions":8}'
    )
    assert expected == render_response(response)


def test_float_text_reads_back_to_the_same_float32() -> None:
    numbers = np.random.default_rng(1).standard_normal((4, 100)).astype(np.float32)
    body = json.loads(render_response(EmbeddingResponse("m", {"float": numbers}, 1, True, 100)))
    rows = np.array([item["embedding"] for item in body["data"]], dtype=np.float32)
    assert numbers.tobytes() == rows.tobytes()


def test_float16_text_reads_back_to_the_same_half() -> None:
    numbers = np.random.default_rng(1).standard_normal((4, 100)).astype(np.float16)
    body = json.loads(render_response(EmbeddingResponse("m", {"float16": numbers}, 1, True, 100)))
    rows = np.array([item["embedding"] for item in body["data"]], dtype=np.float16)
    assert numbers.tobytes() == rows.tobytes()


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (Unauthorized(), "a valid API key is required in the Authorization header"),
        (
            MissingField("input"),
            [{"type": "missing", "loc": ["body", "input"], "msg": "input is required"}],
        ),
    ],
    ids=["plain", "field"],
)
def test_an_error_is_readable_by_every_client(error: GatewayError, detail: object) -> None:
    body = json.loads(render_error(error))
    assert list(body) == ["type", "url", "message", "details", "detail", "error"]
    assert detail == body["detail"]
    assert body["message"] == body["error"]["message"]
    assert f"urn:triton-embeddings:error:{error.code}" == body["url"]
