"""Bytes → request: every field, every bound, every way to be wrong."""

import json
from typing import Any

import pytest

from gateway.errors import InvalidField, MalformedBody, MissingField
from gateway.rest.encoding import FORMATS
from gateway.rest.parsing import (
    COUNTED_TIMES,
    MAX_LONE_SURROGATES,
    EmbeddingRequest,
    parse_request,
)


def parse(fields: object) -> EmbeddingRequest:
    return parse_bytes(json.dumps(fields).encode())


def parse_bytes(body: bytes) -> EmbeddingRequest:
    return parse_request(body, max_texts=256, max_prompt_characters=256)


def ask(**fields: object) -> EmbeddingRequest:
    return parse({"model": "m", "input": "x"} | fields)


def test_defaults_are_applied() -> None:
    expected = EmbeddingRequest("m", (b"x",), None, True, None, ("float",), "end")
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


@pytest.mark.parametrize(
    ("body", "location"),
    [
        (rb'{"model":"m","input":["x","a\ud83d","\ud83d"]}', ["body", "input", 1]),
        (rb'{"model":"m","input":["\udE00"]}', ["body", "input", 0]),
        (rb'{"model":"m","input":["\ud83d\ud83d\ude00"]}', ["body", "input", 0]),
        (rb'{"model":"m","input":["\ud83d\ude00\ude00"]}', ["body", "input", 0]),
        (rb'{"model":"m","input":["\\\ud83d"]}', ["body", "input", 0]),
        (rb'{"model":"m","input":["\ud83dx\ude00"]}', ["body", "input", 0]),
        (b'{"model":"m","input":["\xef\xb7\x90","\\uFDD1\\ud83d"]}', ["body", "input", 1]),
    ],
)
def test_half_a_pair_is_located(body: bytes, location: list[object]) -> None:
    with pytest.raises(InvalidField, match="half of a surrogate pair") as caught:
        parse_bytes(body)
    assert isinstance(caught.value.details, list)
    assert location == caught.value.details[0]["loc"]


def test_an_escaped_backslash_begins_no_half() -> None:
    body = rb'{"model":"m","input":"\\ud83d","user":"\ud83d"}'
    assert (rb"\ud83d",) == parse_bytes(body).texts


@pytest.mark.parametrize(("count", "raises"), [(0, InvalidField), (1, MalformedBody)])
def test_more_halves_than_anybody_looks_at_are_malformed(
    count: int, raises: type[Exception]
) -> None:
    halves = rb"\ud83d" * (MAX_LONE_SURROGATES + count)
    with pytest.raises(raises):
        parse_bytes(b'{"model":"m","input":"' + halves + b'"}')


def test_without_a_free_character_for_halves_the_body_is_malformed() -> None:
    taken = "".join(map(chr, range(0xFDD0, 0xFDF0))).encode()
    with pytest.raises(MalformedBody):
        parse_bytes(b'{"model":"m","input":["' + taken + rb'","\ud83d"]}')


def test_a_surrogate_pair_is_one_character() -> None:
    assert ("😀".encode(),) == parse_bytes(b'{"model":"m","input":"\\ud83d\\ude00"}').texts


def test_a_bad_item_is_located() -> None:
    with pytest.raises(InvalidField) as caught:
        ask(input=["x", 1])
    assert [{"type", "loc", "msg"}] == [set(detail) for detail in caught.value.details]
    assert isinstance(caught.value.details, list)
    assert caught.value.details[0]["loc"] == ["body", "input", 1]


@pytest.mark.parametrize("ids", [[[1, 2]], [1, 2], ["x", 1], [[-1]]])
def test_token_ids_are_told_the_setting_to_change(ids: object) -> None:
    with pytest.raises(InvalidField, match="check_embedding_ctx_length=False"):
        ask(input=ids)


@pytest.mark.parametrize(
    ("items", "index", "kind"),
    [
        ([["hello"]], 0, "array"),
        ([[]], 0, "array"),
        (["x", ["hello"]], 1, "array"),
        (["x", [1]], 1, "array"),
        (["x", "y", {"text": "x"}], 2, "object"),
        ([True], 0, "bool"),
        ([1.5], 0, "float"),
        (["x", None], 1, "null"),
    ],
)
def test_what_is_no_text_is_called_by_its_type(items: object, index: int, kind: str) -> None:
    message = f"every item of input must be a string, item {index} is of type {kind}"
    with pytest.raises(InvalidField, match=message) as caught:
        ask(input=items)
    assert isinstance(caught.value.details, list)
    assert ["body", "input", index] == caught.value.details[0]["loc"]


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (257, "input holds 257 texts, the limit is 256"),
        (256 * COUNTED_TIMES, "input holds 4096 texts, the limit is 256"),
        (256 * COUNTED_TIMES + 1, "input holds far more texts than the limit of 256"),
    ],
)
def test_texts_are_counted_as_far_as_that_is_cheap(count: int, message: str) -> None:
    with pytest.raises(InvalidField, match=message):
        ask(input=["x"] * count)


def test_quotes_within_a_text_count_for_nothing() -> None:
    text = '"' * 10_000
    assert (text.encode(),) == ask(input=[text]).texts
    assert (text.encode(),) == ask(input=text).texts


@pytest.mark.parametrize("digits", ["1e400", "-1e400", "9" * 5000])
def test_a_number_that_no_float_holds_is_malformed(digits: str) -> None:
    with pytest.raises(MalformedBody, match="too large"):
        parse_bytes(b'{"model":"m","input":"x","dimensions":' + digits.encode() + b"}")


def test_fields_are_checked_in_the_order_of_the_table() -> None:
    with pytest.raises(InvalidField) as caught:
        ask(truncation_strategy="bad", dimensions="bad", prompt=1)
    assert caught.value.param == "prompt"


@pytest.mark.parametrize("texts", [["x"] * 256, ["", "x"]], ids=["256-texts", "empty-item"])
def test_bounds_are_inclusive(texts: list[str]) -> None:
    assert len(texts) == len(ask(input=texts).texts)


@pytest.mark.parametrize(
    ("fields", "prompt"),
    [
        ({}, None),
        ({"prompt": None}, None),
        ({"prompt": ""}, ""),
        ({"prompt": "q: "}, "q: "),
        ({"prompt": "😀" * 256}, "😀" * 256),  # counted in code points
    ],
    ids=["absent", "null", "empty", "given", "longest"],
)
def test_an_empty_prompt_is_not_an_absent_one(fields: dict[str, Any], prompt: str | None) -> None:
    assert prompt == ask(**fields).prompt


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
