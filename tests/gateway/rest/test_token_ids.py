"""An input of token ids: what is accepted, and where the first fault is."""

import json

import pytest

from gateway.errors import InvalidField, MalformedBody
from gateway.rest.parsing import EmbeddingRequest, parse_request
from gateway.rest.token_ids import MAX_TOKEN_IDS
from gateway.rest.vocabulary import ENCODINGS

LAST = 100_276
UNUSED = [100_256, 100_261, 100_275]


def ask(ids: object, encoding: str | None = "cl100k_base") -> EmbeddingRequest:
    return ask_raw(json.dumps(ids), encoding)


def ask_raw(ids: str, encoding: str | None = "cl100k_base") -> EmbeddingRequest:
    return parse_request(
        b'{"model":"m","input":' + ids.encode() + b"}",
        max_texts=256,
        max_prompt_characters=256,
        encoding=ENCODINGS[encoding] if encoding else None,
    )


@pytest.mark.parametrize(
    ("ids", "texts"),
    [
        ([1, 2, 3], [[1, 2, 3]]),
        ([[1, 2, 3]], [[1, 2, 3]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
        ([[]], [[]]),
        ([[], [1]], [[], [1]]),
        ([[0, LAST, 100_257]], [[0, LAST, 100_257]]),
        ([[1]] * 256, [[1]] * 256),
    ],
)
def test_ids_are_one_text_or_several(ids: object, texts: list[list[int]]) -> None:
    asked = ask(ids)
    assert (texts, ()) == (list(asked.token_ids), asked.texts)


def test_white_space_is_nothing() -> None:
    assert [[1, 2], []] == ask_raw(" [ [ 1 , 2 ] , [ ] ] ").token_ids
    assert [[1]] == ask_raw("[\n1 ]").token_ids


def test_texts_hold_no_ids() -> None:
    asked = ask(["1", "2"])
    assert ((b"1", b"2"), ()) == (asked.texts, asked.token_ids)


NOT_USED = "which cl100k_base does not use"
OUT_OF_RANGE = "is no token id of cl100k_base, which has 0 to 100276"


@pytest.mark.parametrize(
    ("ids", "place", "message"),
    [
        ("[-1]", [0], f"input[0] {OUT_OF_RANGE}"),
        ("[1,100277]", [1], f"input[1] {OUT_OF_RANGE}"),
        ("[[1],[2,3,-4]]", [1, 2], f"input[1][2] {OUT_OF_RANGE}"),
        ("[[1],[],[99999999999999999999999]]", [2, 0], f"input[2][0] {OUT_OF_RANGE}"),
        *((f"[1,{id_}]", [1], f"input[1] is {id_}, {NOT_USED}") for id_ in UNUSED),
        *((f"[[1],[2,{id_}]]", [1, 1], f"input[1][1] is {id_}, {NOT_USED}") for id_ in UNUSED),
        ("[1,2.0]", [1], "input[1] is of type float, a token id is expected there"),
        ("[1.5]", [0], "input[0] is of type float, a token id is expected there"),
        ("[[1e2]]", [0, 0], "input[0][0] is of type float, a token id is expected there"),
        ("[[1,true]]", [0, 1], "input[0][1] is of type bool, a token id is expected there"),
        ("[1,null]", [1], "input[1] is of type null, a token id is expected there"),
        ('[1,"x"]', [1], "input[1] is of type str, a token id is expected there"),
        ('[[1],"x"]', [1], "input[1] is of type str, an array of token ids is expected there"),
        ("[[1],2]", [1], "input[1] is of type int, an array of token ids is expected there"),
        ("[1,[2]]", [1], "input[1] is of type array, a token id is expected there"),
        ('[[1],["x"]]', [1, 0], "input[1][0] is of type str, a token id is expected there"),
        ("[[1,[2]]]", [0, 1], "input[0][1] is of type array, a token id is expected there"),
        ('["x",1]', [1], "every item of input must be a string, item 1 is of type int"),
        ('["x",[1]]', [1], "every item of input must be a string, item 1 is of type array"),
        ('[["x"]]', [0], "every item of input must be a string, item 0 is of type array"),
        ("[[[1]]]", [0], "every item of input must be a string, item 0 is of type array"),
        ("[[1]" + ",[1]" * 256 + "]", [], "input holds 257 texts, the limit is 256"),
        ("[[]" + ",[]" * 299_999 + "]", [], "input holds 300000 texts, the limit is 256"),
    ],
)
def test_the_first_fault_is_located(ids: str, place: list[int], message: str) -> None:
    with pytest.raises(InvalidField) as caught:
        ask_raw(ids)
    assert isinstance(caught.value.details, list)
    assert (message, ["body", "input", *place]) == (
        caught.value.message,
        caught.value.details[0]["loc"],
    )
    assert caught.value.param == "input"


def test_an_encoding_has_its_own_ids() -> None:
    assert [[150_000, 200_018]] == ask([150_000, 200_018], "o200k_base").token_ids
    with pytest.raises(InvalidField, match="is 199998, which o200k_base does not use"):
        ask([199_998], "o200k_base")


def test_as_many_ids_as_openai_takes() -> None:
    assert MAX_TOKEN_IDS == len(ask([1] * MAX_TOKEN_IDS).token_ids[0])
    for ids in ([1] * (MAX_TOKEN_IDS + 1), [[1] * MAX_TOKEN_IDS, [1]]):
        with pytest.raises(InvalidField, match="input holds 300001 token ids, the limit is 300000"):
            ask(ids)


def test_a_number_that_no_float_holds_is_malformed() -> None:
    with pytest.raises(MalformedBody, match="too large"):
        ask_raw("[[1,1e400]]")


@pytest.mark.parametrize("ids", [[1], [[1, 2]], [-1]])
def test_where_ids_are_not_decoded_the_remedies_are_named(ids: object) -> None:
    with pytest.raises(InvalidField, match="GATEWAY_TOKEN_IDS=cl100k_base") as caught:
        ask(ids, None)
    assert "check_embedding_ctx_length=False" in caught.value.message
