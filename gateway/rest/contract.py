"""The REST shapes: bytes → EmbeddingRequest, EmbeddingResponse → bytes, errors → bytes.

After `parse_request` nothing is optional by accident and nothing is checked again.

| field | accepted | default |
| --- | --- | --- |
| `model` | string, 1 to 500 characters | required |
| `input` | string, or 1 to 256 strings; a bare "" is refused | required |
| `prompt` | string, 1 to 256 characters | none |
| `normalized` | boolean; `normalize` where it is absent | true |
| `dimensions` | integer, 1 to the native size (the model knows) | native size |
| `encoding_format` | a format or a list of formats | `float` |
| `truncation_strategy` | `start`, `end`, `none` | `end` |
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast, get_args

import orjson

from gateway.errors import GatewayError, InvalidField, MalformedBody, MissingField
from gateway.inference.embedder import Truncation
from gateway.rest.encoding import FORMATS, Column, Format

MAX_MODEL_CHARACTERS = 500
# Above it a JSON number is no longer one exact integer.
MAX_EXACT_INTEGER = 2**53
TRUNCATIONS: tuple[Truncation, ...] = get_args(Truncation)

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")

_Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """What the caller asks for.

    texts       N texts in UTF-8, the prompt in front of each
    dimensions  None for the native size
    formats     distinct, in the order of the request
    """

    model: str
    texts: tuple[bytes, ...]
    normalized: bool
    dimensions: int | None
    formats: tuple[Format, ...]
    truncation: Truncation


@dataclass(frozen=True, slots=True)
class EmbeddingResponse:
    """What the caller gets; `columns` holds one entry per text for each format.

    tokens       of all texts together, as fed to the encoder
    dimensions   components before packing
    dict_object  the `object` of an item that holds several formats
    """

    model: str
    columns: Mapping[Format, Column]
    tokens: int
    normalized: bool
    dimensions: int
    dict_object: str = "embedding"


def parse_request(body: bytes, *, max_texts: int, max_prompt_characters: int) -> EmbeddingRequest:
    """The request in `body`, checked field by field in the order of the table above.

    Raises: MalformedBody, MissingField, InvalidField.
    """
    fields = _load_object(body)
    model = _parse_model(fields)
    texts = _parse_input(fields, max_texts)
    prompt = _parse_prompt(fields, max_prompt_characters)
    return EmbeddingRequest(
        model=model,
        texts=tuple(_join(prompt, text, index) for index, text in enumerate(texts)),
        normalized=_parse_normalized(fields),
        dimensions=_parse_dimensions(fields),
        formats=_parse_formats(fields),
        truncation=_parse_truncation(fields),
    )


def _load_object(body: bytes) -> _Fields:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        fields = _load_with_surrogates(body)
    if not isinstance(fields, dict):
        raise MalformedBody("the body must be a JSON object")
    return fields


def _load_with_surrogates(body: bytes) -> object:
    """What orjson refused, if a lone surrogate escape such as `\\ud800` is all that is wrong.

    Such a string is valid JSON that no UTF-8 text can hold: the field answers for it, not the body.
    """
    if not _SURROGATE_ESCAPE.search(body):
        raise MalformedBody("the body is not valid JSON in UTF-8")
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant, parse_float=_parse_finite)
    except (ValueError, RecursionError) as error:
        raise MalformedBody("the body is not valid JSON in UTF-8") from error


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(constant)  # NaN and Infinity are no JSON


def _parse_finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(digits)
    return number


def _parse_model(fields: _Fields) -> str:
    model = _required(fields, "model")
    if not isinstance(model, str):
        raise InvalidField("model must be a string", "model")
    if not 1 <= len(model) <= MAX_MODEL_CHARACTERS:
        raise InvalidField(f"model must have 1 to {MAX_MODEL_CHARACTERS} characters", "model")
    _to_utf8(model, "model")
    return model


def _parse_input(fields: _Fields, max_texts: int) -> Sequence[str]:
    texts = _required(fields, "input")
    if isinstance(texts, str):
        if not texts:
            raise InvalidField("input must not be an empty string", "input")
        return (texts,)
    if not isinstance(texts, list):
        raise InvalidField("input must be a string or an array of strings", "input")
    if not texts:
        raise InvalidField("input must hold at least one text", "input")
    if len(texts) > max_texts:
        raise InvalidField(f"input holds {len(texts)} texts, the limit is {max_texts}", "input")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise _not_a_text(text, index)
    return texts


def _not_a_text(value: object, index: int) -> InvalidField:
    if isinstance(value, int | list) and not isinstance(value, bool):
        return InvalidField(
            "input holds token ids, which are not this model's vocabulary; send strings"
            " (langchain-openai: check_embedding_ctx_length=False)",
            "input",
            index,
        )
    return InvalidField("every item of input must be a string", "input", index)


def _parse_prompt(fields: _Fields, max_characters: int) -> str:
    prompt = fields.get("prompt")
    if prompt is None:
        return ""
    if not isinstance(prompt, str):
        raise InvalidField("prompt must be a string", "prompt")
    if not 1 <= len(prompt) <= max_characters:
        raise InvalidField(
            f"prompt has {len(prompt)} characters, allowed are 1 to {max_characters}", "prompt"
        )
    _to_utf8(prompt, "prompt")
    return prompt


def _join(prompt: str, text: str, index: int) -> bytes:
    """Prompt and text in UTF-8; one space between if neither side brings whitespace."""
    if prompt and text and not (prompt[-1].isspace() or text[0].isspace()):
        text = f"{prompt} {text}"
    else:
        text = prompt + text
    return _to_utf8(text, "input", index)


def _to_utf8(text: str, *location: str | int) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        message = f"{location[0]} holds half of a surrogate pair, which is no character"
        raise InvalidField(message, *location) from error


def _parse_normalized(fields: _Fields) -> bool:
    # `normalize` is what the AI SDK provider of Mixedbread sends for `normalized`.
    name = "normalized" if fields.get("normalized") is not None else "normalize"
    normalized = fields.get(name)
    if normalized is None:
        return True
    if not isinstance(normalized, bool):
        raise InvalidField(f"{name} must be true or false", name)
    return normalized


def _parse_dimensions(fields: _Fields) -> int | None:
    dimensions = fields.get("dimensions")
    if dimensions is None:
        return None
    is_number = isinstance(dimensions, int | float) and not isinstance(dimensions, bool)
    if not is_number or abs(dimensions) > MAX_EXACT_INTEGER or int(dimensions) != dimensions:
        raise InvalidField("dimensions must be an integer", "dimensions")
    return int(dimensions)


def _parse_formats(fields: _Fields) -> tuple[Format, ...]:
    asked = fields.get("encoding_format")
    if asked is None:
        return ("float",)
    names = asked if isinstance(asked, list) else [asked]
    if not names:
        raise InvalidField("encoding_format must name at least one format", "encoding_format")
    if any(name not in FORMATS for name in names):
        raise InvalidField(
            f"encoding_format must be one or several of {', '.join(FORMATS)}", "encoding_format"
        )
    return cast(tuple[Format, ...], tuple(dict.fromkeys(names)))


def _parse_truncation(fields: _Fields) -> Truncation:
    truncation = fields.get("truncation_strategy")
    if truncation is None:
        return "end"
    if truncation not in TRUNCATIONS:
        raise InvalidField(
            f"truncation_strategy must be one of {', '.join(TRUNCATIONS)}", "truncation_strategy"
        )
    return cast(Truncation, truncation)


def _required(fields: _Fields, name: str) -> object:
    if fields.get(name) is None:
        raise MissingField(name)
    return fields[name]


def render_response(response: EmbeddingResponse) -> bytes:
    """The body of a 200; items in the order of the texts.

    `embedding` is the plain value for one format and an object keyed by format for several.
    """
    formats = tuple(response.columns)
    if len(formats) == 1:
        embeddings: Any = response.columns[formats[0]]
        item_object = "embedding"
    else:
        rows = zip(*response.columns.values(), strict=True)
        embeddings = (dict(zip(formats, row, strict=True)) for row in rows)
        item_object = response.dict_object
    body = {
        "model": response.model,
        "object": "list",
        "data": [
            {"object": item_object, "index": index, "embedding": embedding}
            for index, embedding in enumerate(embeddings)
        ],
        "usage": {"prompt_tokens": response.tokens, "total_tokens": response.tokens},
        "normalized": response.normalized,
        "encoding_format": formats[0] if len(formats) == 1 else formats,
        "dimensions": response.dimensions,
    }
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def render_error(error: GatewayError) -> bytes:
    """The one error body, readable by every client family of docs/contract.md."""
    body = {
        "type": error.type,
        "url": f"urn:triton-embeddings:error:{error.code}",
        "message": error.message,
        "details": error.details,
        "detail": error.details if isinstance(error, InvalidField) else error.message,
        "error": {
            "message": error.message,
            "type": error.openai_type,
            "param": error.param,
            "code": error.code,
        },
    }
    return orjson.dumps(body)
