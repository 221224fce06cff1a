"""Bytes → EmbeddingRequest, in time that depends on how many bytes there are and not on which.

A first pass walks over the body and keeps the bytes of each field, building nothing; a field is
then read as the type that it must have, and stops at its first wrong item. After `parse_request`
nothing is optional by accident and nothing is checked again.

| field | accepted | default |
| --- | --- | --- |
| `model` | string, 1 to 500 characters | required |
| `input` | string, or 1 to 256 strings; a bare "" is refused | required |
| | token ids, where they are decoded: one array, or 1 to 256 arrays | |
| `prompt` | string, up to 256 characters; "" for none | the model's own |
| `normalized` | boolean; `normalize` where it is absent | true |
| `dimensions` | integer, 1 to the native size (the model knows) | native size |
| `encoding_format` | a format or a list of formats | `float` |
| `truncation_strategy` | `start`, `end`, `none` | `end` |
"""

import re
from collections.abc import Sequence
from typing import NoReturn, TypeVar, cast, get_args

import msgspec
import numpy as np
from msgspec import Raw
from msgspec.json import Decoder

from gateway.errors import InvalidField, MalformedBody, MissingField
from gateway.inference.embedder import Truncation
from gateway.rest.encoding import FORMATS, Format
from gateway.rest.token_ids import begins_with_ids, read_token_ids
from gateway.rest.vocabulary import Encoding

T = TypeVar("T")

MAX_MODEL_CHARACTERS = 500
# Above it a JSON number is no longer one exact integer.
MAX_EXACT_INTEGER = 2**53
TRUNCATIONS: tuple[Truncation, ...] = get_args(Truncation)
# Times the limit of texts: up to here they are counted, beyond nobody waits for the number.
COUNTED_TIMES = 16
# Halves of surrogate pairs in one body that are looked at.
MAX_LONE_SURROGATES = 1000

_NULL = Raw(b"null")
_FORMATS = frozenset(FORMATS)
_LONE_SURROGATE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|[c-fC-F](?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F])[0-9a-fA-F]{2})"
)
# Characters that no text may hold, one of which stands for the halves while a body is read.
_MARKERS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
_ITEM_AT = re.compile(r"got `(\w+)` - at `\$\[(\d+)\]`")
_BEGINS_WITH_STRING = re.compile(rb'\s*\[\s*"')
_BEGINS_WITH_NUMBERS = re.compile(rb"\s*\[\s*\[\s*-?\d")


class _Fields(msgspec.Struct):
    """The bytes of each field; an absent one is null."""

    model: Raw = _NULL
    input: Raw = _NULL
    prompt: Raw = _NULL
    normalized: Raw = _NULL
    normalize: Raw = _NULL
    dimensions: Raw = _NULL
    encoding_format: Raw = _NULL
    truncation_strategy: Raw = _NULL


_FIELDS = Decoder(_Fields)
_STRING = Decoder(str | None)
_STRINGS = Decoder(str | list[str] | None)
_BOOLEAN = Decoder(bool | None)
_NUMBER = Decoder(int | float | None)


class EmbeddingRequest(msgspec.Struct, frozen=True):
    """What the caller asks for.

    texts       N texts in UTF-8; none while they are token ids
    prompt      to put before each, "" for none; None for the model's own
    dimensions  None for the native size
    formats     distinct, in the order of the request
    token_ids   of N texts, still to be decoded; none of texts as such
    """

    model: str
    texts: tuple[bytes, ...]
    prompt: str | None
    normalized: bool
    dimensions: int | None
    formats: tuple[Format, ...]
    truncation: Truncation
    token_ids: Sequence[Sequence[int]] = ()


def parse_request(
    body: bytes, *, max_texts: int, max_prompt_characters: int, encoding: Encoding | None = None
) -> EmbeddingRequest:
    """The request in `body`, checked field by field in the order of the table above.

    encoding  of token ids; None if they are refused

    Raises: MalformedBody, MissingField, InvalidField.
    """
    fields, marker = _read_fields(body)
    model = _parse_model(fields)
    texts, token_ids = _parse_input(fields, max_texts, encoding)
    prompt = _parse_prompt(fields, max_prompt_characters)
    if marker:
        _refuse_halves(marker, model, texts, prompt or "")
    return EmbeddingRequest(
        model=model,
        texts=tuple(text.encode() for text in texts),
        prompt=prompt,
        normalized=_parse_normalized(fields),
        dimensions=_parse_dimensions(fields),
        formats=_parse_formats(fields),
        truncation=_parse_truncation(fields),
        token_ids=token_ids,
    )


def _read_fields(body: bytes) -> tuple[_Fields, str]:
    """The fields, and the character that stands for halves of surrogate pairs in them, if any."""
    try:
        body.decode()  # msgspec does not look into what it passes over
        return _FIELDS.decode(body), ""
    except msgspec.ValidationError as error:
        raise MalformedBody("the body must be a JSON object") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody("the body is not valid JSON in UTF-8") from error
    except msgspec.DecodeError as error:
        if b"\\u" in body:
            return _read_without_halves(body, error)
        raise MalformedBody("the body is not valid JSON in UTF-8") from error


def _read_without_halves(body: bytes, error: msgspec.DecodeError) -> tuple[_Fields, str]:
    """The fields of a body, if a lone surrogate escape such as `\\ud800` is all that is wrong.

    Such a string is valid JSON that no UTF-8 text can hold: the field answers for it, not the body.

    Raises: MalformedBody from `error`.
    """
    try:
        marker = next(sign for sign in _MARKERS if _is_free(sign, body))
        return _FIELDS.decode(_replace_halves(body, marker)), marker
    except (StopIteration, msgspec.DecodeError, RecursionError):
        raise MalformedBody("the body is not valid JSON in UTF-8") from error


def _is_free(sign: str, body: bytes) -> bool:
    escaped = f"\\u{ord(sign):04x}".encode()
    return sign.encode() not in body and escaped not in body and escaped.upper() not in body


def _replace_halves(body: bytes, marker: str) -> bytes:
    """The body with the marker for each lone surrogate escape."""
    searched = body.replace(b"\\\\", b"__")  # an escaped backslash begins no escape
    replaced = bytearray(body)
    for count, half in enumerate(_LONE_SURROGATE.finditer(searched)):
        if count == MAX_LONE_SURROGATES:
            break  # the next one makes the body malformed
        replaced[half.start() : half.end()] = f"\\u{ord(marker):04x}".encode()
    return bytes(replaced)


def _refuse_halves(marker: str, model: str, texts: Sequence[str], prompt: str) -> None:
    """Raises: InvalidField naming the first field that holds half of a surrogate pair."""
    places: list[tuple[str, tuple[str | int, ...]]] = [
        (model, ("model",)),
        *((text, ("input", index)) for index, text in enumerate(texts)),
        (prompt, ("prompt",)),
    ]
    for text, location in places:
        if marker in text:
            message = f"{location[0]} holds half of a surrogate pair, which is no character"
            raise InvalidField(message, *location)


def _read(decoder: Decoder[T | None], raw: Raw, message: str, field: str) -> T | None:
    """The value of a field, None if it is absent; whatever else it holds is refused so."""
    if raw is _NULL:
        return None
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        if "out of range" in str(error):
            raise MalformedBody("the body holds a number that is too large") from error
        raise InvalidField(message, field) from error


def _parse_model(fields: _Fields) -> str:
    model = _read(_STRING, fields.model, "model must be a string", "model")
    if model is None:
        raise MissingField("model")
    if not 1 <= len(model) <= MAX_MODEL_CHARACTERS:
        raise InvalidField(f"model must have 1 to {MAX_MODEL_CHARACTERS} characters", "model")
    return model


def _parse_input(
    fields: _Fields, max_texts: int, encoding: Encoding | None
) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
    """The texts, or the token ids that stand for them; the other is empty."""
    raw = bytes(fields.input)
    if _holds_more_strings(raw, COUNTED_TIMES * max_texts) and _BEGINS_WITH_STRING.match(raw):
        raise InvalidField(f"input holds far more texts than the limit of {max_texts}", "input")
    try:
        texts = _STRINGS.decode(raw)
    except msgspec.ValidationError as error:
        if encoding is None or not begins_with_ids(raw):
            _refuse_input(str(error), raw, is_decoding_ids=encoding is not None)
        return (), read_token_ids(raw, encoding, max_texts)
    if texts is None:
        raise MissingField("input")
    if isinstance(texts, str):
        texts = [texts]
        if not texts[0]:
            raise InvalidField("input must not be an empty string", "input")
    if not texts:
        raise InvalidField("input must hold at least one text", "input")
    if len(texts) > max_texts:
        raise InvalidField(f"input holds {len(texts)} texts, the limit is {max_texts}", "input")
    return texts, ()


def _holds_more_strings(raw: bytes, count: int) -> bool:
    """Whether a JSON text holds more strings than `count`; it may say no up to twice as many.

    Quotes behind a backslash are not counted, though some of them end a string: `"\\\\"`.
    """
    if len(raw) <= 3 * count:  # `"",` for each
        return False
    quotes = np.count_nonzero(np.frombuffer(raw, np.uint8) == ord('"'))  # 5 x as fast as bytes'
    return bool(quotes > 2 * count and quotes - raw.count(b'\\"') > 2 * count)


def _refuse_input(reason: str, raw: bytes, *, is_decoding_ids: bool) -> NoReturn:
    """Raises: InvalidField for what msgspec says of an input, with the first item at fault."""
    item = _ITEM_AT.search(reason)
    if item is None:
        raise InvalidField("input must be a string or an array of strings", "input")
    kind, index = item[1], int(item[2])
    is_id = kind == "int" or (index == 0 and _BEGINS_WITH_NUMBERS.match(raw))
    if is_id and not is_decoding_ids:
        raise InvalidField(
            "input holds token ids, which are not this model's vocabulary; send strings"
            " (langchain-openai: check_embedding_ctx_length=False), or let the service decode them"
            " (extra token-ids, GATEWAY_TOKEN_IDS=cl100k_base)",
            "input",
            index,
        )
    raise InvalidField(
        f"every item of input must be a string, item {index} is of type {kind}", "input", index
    )


def _parse_prompt(fields: _Fields, max_characters: int) -> str | None:
    prompt = _read(_STRING, fields.prompt, "prompt must be a string", "prompt")
    if prompt is not None and len(prompt) > max_characters:
        raise InvalidField(
            f"prompt has {len(prompt)} characters, the limit is {max_characters}", "prompt"
        )
    return prompt


def _parse_normalized(fields: _Fields) -> bool:
    # `normalize` is what the AI SDK provider of Mixedbread sends for `normalized`.
    for name, raw in (("normalized", fields.normalized), ("normalize", fields.normalize)):
        normalized = _read(_BOOLEAN, raw, f"{name} must be true or false", name)
        if normalized is not None:
            return normalized
    return True


def _parse_dimensions(fields: _Fields) -> int | None:
    message = "dimensions must be an integer"
    dimensions = _read(_NUMBER, fields.dimensions, message, "dimensions")
    if dimensions is None:
        return None
    if abs(dimensions) > MAX_EXACT_INTEGER or int(dimensions) != dimensions:
        raise InvalidField(message, "dimensions")
    return int(dimensions)


def _parse_formats(fields: _Fields) -> tuple[Format, ...]:
    message = f"encoding_format must be one or several of {', '.join(FORMATS)}"
    asked = _read(_STRINGS, fields.encoding_format, message, "encoding_format")
    if asked is None:
        return ("float",)
    names = dict.fromkeys([asked] if isinstance(asked, str) else asked)
    if not names:
        raise InvalidField("encoding_format must name at least one format", "encoding_format")
    if not names.keys() <= _FORMATS:
        raise InvalidField(message, "encoding_format")
    return cast(tuple[Format, ...], tuple(names))


def _parse_truncation(fields: _Fields) -> Truncation:
    message = f"truncation_strategy must be one of {', '.join(TRUNCATIONS)}"
    truncation = _read(_STRING, fields.truncation_strategy, message, "truncation_strategy")
    if truncation is None:
        return "end"
    if truncation not in TRUNCATIONS:
        raise InvalidField(message, "truncation_strategy")
    return cast(Truncation, truncation)
