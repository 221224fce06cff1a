"""Bytes → request, response → bytes, errors → bytes."""

import json
from typing import Any

import numpy as np
import pytest

from gateway.errors import GatewayError, InvalidField, MalformedBody, MissingField, Unauthorized
from gateway.rest.contract import (
    EmbeddingRequest,
    EmbeddingResponse,
    parse_request,
    render_error,
    render_response,
)
from gateway.rest.encoding import FORMATS


def parse(fields: object) -> EmbeddingRequest:
    return parse_bytes(json.dumps(fields).encode())


def parse_bytes(body: bytes) -> EmbeddingRequest:
    return parse_request(body, max_texts=256, max_prompt_characters=256)


def ask(**fields: object) -> EmbeddingRequest:
    return parse({"model": "m", "input": "x"} | fields)


def test_defaults_are_applied() -> None:
    expected = EmbeddingRequest("m", (b"x",), True, None, ("float",), "end")
    assert expected == ask()


def test_null_is_the_same_as_absent() -> None:
    optional = ["prompt", "normalized", "dimensions", "encoding_format", "truncation_strategy"]
    assert ask() == ask(**dict.fromkeys(optional))


def test_unknown_fields_are_ignored() -> None:
    assert ask() == ask(user=["any"], extra={"a": 1})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'"x"', id="string"),
        pytest.param(b'{"model":"m","input":"\xff"}', id="not-utf-8"),
        pytest.param(b'\xef\xbb\xbf{"model":"m","input":"x"}', id="byte-order-mark"),
        pytest.param('{"model":"m","input":"x"}'.encode("utf-16"), id="utf-16"),
        pytest.param(b'{"model":"m","input":"x","dimensions":NaN}', id="nan"),
        pytest.param(b'{"model":"m","input":"x","dimensions":-Infinity}', id="infinity"),
        pytest.param(b'{"model":"m","input":"x","dimensions":1e400}', id="too-large-a-number"),
        pytest.param(b'{"model":"m","input":"\\ud800","dimensions":NaN}', id="surrogate-and-nan"),
        pytest.param(b'{"model":"m","input":"\\ud800","d":1e400}', id="surrogate-and-infinity"),
        pytest.param(b'{"a":"\\ud800","b":' + b"9" * 5000 + b"}", id="surrogate-and-long-integer"),
        pytest.param(b'{"a":"\\ud800","b":' + b"[" * 100_000, id="surrogate-and-deep-nesting"),
        pytest.param(b"[" * 100_000, id="deep-nesting"),
        pytest.param(b'{"model":"m","input":"x"} {}', id="two-values"),
    ],
)
def test_a_body_that_is_no_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        parse_bytes(body)


def test_the_last_of_duplicate_keys_wins() -> None:
    assert parse_bytes(b'{"model":"a","model":"m","input":"x"}') == ask()


@pytest.mark.parametrize("field", ["model", "input"])
@pytest.mark.parametrize("fields", [{}, {"model": None, "input": None}], ids=["absent", "null"])
def test_a_required_field_is_missing(field: str, fields: dict[str, Any]) -> None:
    others = {name: "x" for name in ("model", "input") if name != field}
    with pytest.raises(MissingField) as caught:
        parse(fields | others)
    assert (field, "missing") == (caught.value.param, caught.value.code)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", 1),
        ("model", ""),
        ("model", "m" * 501),
        ("input", ""),
        ("input", []),
        ("input", ["x"] * 257),
        ("input", 1),
        ("input", {"text": "x"}),
        ("input", ["x", None]),
        ("input", [{"text": "x"}]),
        ("input", [1, 2]),
        ("input", [[1, 2]]),
        ("input", [True]),
        ("prompt", ""),
        ("prompt", "p" * 257),
        ("prompt", 1),
        ("normalized", 1),
        ("normalized", "true"),
        ("normalize", 0),
        ("dimensions", "8"),
        ("dimensions", True),
        ("dimensions", 8.5),
        ("dimensions", 10**30),
        ("encoding_format", []),
        ("encoding_format", "bad"),
        ("encoding_format", ["float", None]),
        ("encoding_format", [["float"]]),
        ("encoding_format", {"float": 1}),
        ("truncation_strategy", "middle"),
        ("truncation_strategy", 1),
        ("truncation_strategy", []),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_value_out_of_bounds_names_its_field(field: str, value: object) -> None:
    with pytest.raises(InvalidField) as caught:
        ask(**{field: value})
    assert (field, "invalid_value") == (caught.value.param, caught.value.code)


@pytest.mark.parametrize("field", ["input", "prompt", "model"])
def test_a_lone_surrogate_is_the_fault_of_its_field(field: str) -> None:
    body = {"model": "m", "input": "x", field: "\ud83d"}
    with pytest.raises(InvalidField) as caught:
        parse(body)
    assert field == caught.value.param


def test_a_lone_surrogate_in_an_ignored_field_does_no_harm() -> None:
    assert ask() == ask(user="\ud800")


def test_a_surrogate_pair_is_one_character() -> None:
    assert ("😀".encode(),) == parse_bytes(b'{"model":"m","input":"\\ud83d\\ude00"}').texts


def test_a_bad_item_is_located() -> None:
    with pytest.raises(InvalidField) as caught:
        ask(input=["x", 1])
    assert [{"type", "loc", "msg"}] == [set(detail) for detail in caught.value.details]
    assert isinstance(caught.value.details, list)
    assert caught.value.details[0]["loc"] == ["body", "input", 1]


def test_token_ids_are_told_the_setting_to_change() -> None:
    with pytest.raises(InvalidField, match="check_embedding_ctx_length=False"):
        ask(input=[[1, 2]])


def test_fields_are_checked_in_the_order_of_the_table() -> None:
    with pytest.raises(InvalidField) as caught:
        ask(truncation_strategy="bad", dimensions="bad", prompt=1)
    assert caught.value.param == "prompt"


@pytest.mark.parametrize("texts", [["x"] * 256, ["", "x"]], ids=["256-texts", "empty-item"])
def test_bounds_are_inclusive(texts: list[str]) -> None:
    assert len(texts) == len(ask(input=texts).texts)


@pytest.mark.parametrize(
    ("prompt", "text", "joined"),
    [
        ("query:", "bread", "query: bread"),
        ("query: ", "bread", "query: bread"),
        ("query:", "\nbread", "query:\nbread"),
        ("query:", "", "query:"),
        ("frage:\u3000", "Brot", "frage:\u3000Brot"),
    ],
)
def test_one_space_joins_prompt_and_text_if_neither_has_one(
    prompt: str, text: str, joined: str
) -> None:
    assert (joined.encode(),) == ask(prompt=prompt, input=[text]).texts


def test_prompts_are_counted_in_code_points() -> None:
    assert ask(prompt="😀" * 256).texts[0].startswith("😀".encode())


@pytest.mark.parametrize(
    ("fields", "normalized"),
    [
        ({"normalized": False}, False),
        ({"normalize": False}, False),
        ({"normalized": True, "normalize": False}, True),
        ({"normalized": None, "normalize": False}, False),
    ],
)
def test_normalize_is_an_alias(fields: dict[str, Any], normalized: bool) -> None:
    assert normalized is ask(**fields).normalized


@pytest.mark.parametrize("dimensions", [512, 512.0, -1, 0])
def test_dimensions_may_be_any_integer_until_the_model_is_known(dimensions: float) -> None:
    assert int(dimensions) == ask(dimensions=dimensions).dimensions


@pytest.mark.parametrize(
    ("asked", "formats"),
    [
        ("int8", ("int8",)),
        (["int8"], ("int8",)),
        (["ubinary", "float", "ubinary"], ("ubinary", "float")),
        (list(FORMATS), FORMATS),
    ],
)
def test_repeated_formats_collapse_to_the_first(asked: object, formats: tuple[str, ...]) -> None:
    assert formats == ask(encoding_format=asked).formats


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
