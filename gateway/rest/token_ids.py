"""JSON → the token ids of each text: an array of them for one, an array of arrays for several.

Every id is checked here, so that decoding cannot meet one that stands for nothing.
"""

import re
from functools import cache
from typing import Annotated, Any, NoReturn

import msgspec
import numpy as np
from msgspec.json import Decoder

from gateway.errors import InvalidField, MalformedBody
from gateway.rest.vocabulary import Encoding

# Of one call, as OpenAI takes them: 25 ms of this process.
MAX_TOKEN_IDS = 300_000

_BEGINS_WITH_IDS = re.compile(rb"\s*\[\s*(?:-?\d|\[\s*(?:-?\d|\]))")
_IS_NESTED = re.compile(rb"\s*\[\s*\[")
_PLACE = re.compile(r"at `\$\[(\d+)\](?:\[(\d+)\])?`")
_KIND = re.compile(r"got `(\w+)`")


def begins_with_ids(raw: bytes) -> bool:
    """Whether a JSON value is an array that means token ids, right or wrong."""
    return bool(_BEGINS_WITH_IDS.match(raw))


def read_token_ids(raw: bytes, encoding: Encoding, max_texts: int) -> list[list[int]]:
    """N arrays of ids, all of them of the encoding; an empty one stands for "".

    Raises: InvalidField with the place of the first wrong one, MalformedBody.
    """
    is_nested = bool(_IS_NESTED.match(raw))
    _check("texts", _count(raw, "[") - is_nested, max_texts)
    _check("token ids", _count(raw, ",") + 1, MAX_TOKEN_IDS)
    one_text, several = _decoders(encoding.last)
    try:
        ids = several.decode(raw) if is_nested else [one_text.decode(raw)]
    except msgspec.ValidationError as error:
        _refuse(error, encoding)
    for index, text in enumerate(ids):
        if not encoding.unused.isdisjoint(text):
            at = next(at for at, number in enumerate(text) if number in encoding.unused)
            place = (index, at) if is_nested else (at,)
            message = f"{_name(place)} is {text[at]}, which {encoding.name} does not use"
            raise InvalidField(message, "input", *place)
    return ids


def _count(raw: bytes, sign: str) -> int:
    """How often a sign stands in a JSON text, which in one of numbers is where it belongs."""
    return int(np.count_nonzero(np.frombuffer(raw, np.uint8) == ord(sign)))


def _check(what: str, count: int, limit: int) -> None:
    """Before anything is built: an array takes a hundred times the memory of its two signs."""
    if count > limit:
        raise InvalidField(f"input holds {count} {what}, the limit is {limit}", "input")


@cache
def _decoders(last: int) -> tuple[Decoder[list[int]], Decoder[list[list[int]]]]:
    number: Any = Annotated[int, msgspec.Meta(ge=0, le=last)]
    return Decoder(list[number]), Decoder(list[list[number]])


def _refuse(error: msgspec.ValidationError, encoding: Encoding) -> NoReturn:
    """Raises: InvalidField for what msgspec says of the ids."""
    reason = str(error)
    if "out of range" in reason:
        raise MalformedBody("the body holds a number that is too large") from error
    match = _PLACE.search(reason)
    assert match is not None
    place = tuple(int(number) for number in match.groups() if number is not None)
    kind = _KIND.search(reason)
    if kind is None:
        known = f"which has 0 to {encoding.last}"
        message = f"{_name(place)} is no token id of {encoding.name}, {known}"
        raise InvalidField(message, "input", *place)
    wanted = "an array of token ids" if "Expected `array`" in reason else "a token id"
    message = f"{_name(place)} is of type {kind[1]}, {wanted} is expected there"
    raise InvalidField(message, "input", *place)


def _name(place: tuple[int, ...]) -> str:
    return "input" + "".join(f"[{index}]" for index in place)
