"""The keys of one JSON object against a table of `known_keys`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from export.errors import UnsupportedModel
from export.guard.known_keys import Key, Shape, Table
from export.guard.strict_json import shown

PLAIN = re.compile(r"[\w.\-/]{1,80}", re.ASCII)
SHAPES: Mapping[Shape, str] = {
    "text": "a text",
    "flag": "true or false",
    "count": "a whole number above 0",
    "number": "a number",
    "object": "an object",
    "texts": "a list of texts",
}


def refuse(place: str, reason: str, hint: str | None = None) -> NoReturn:
    """`hint` is what may be ignored at a person's word."""
    advice = f". If it changes nothing, give --ignore {named(hint)}" if hint else ""
    raise UnsupportedModel(f"{place}{'' if hint == place else ':'} {reason}{advice}")


def check_table(
    place: str,
    content: Any,
    table: Table,
    ignored: Collection[str],
    *,
    needed: Collection[str] = (),
    drops: bool = True,
) -> None:
    """Raises: UnsupportedModel at the first key that is missing, misshapen, refused or unknown.

    `drops` says that the library passes over a key it does not know; otherwise it stops there,
    and so nobody can have it ignored.
    """
    if not isinstance(content, dict):
        refuse(place, f"{shown(content)} stands where an object is expected")
    for key in needed:
        if content.get(key) is None:
            refuse(place, f"{key} is missing")
    for key, value in content.items():
        if key in table:
            check_key(place, key, value, table[key])
        elif active(value) and not drops:
            refuse(place, f"{named(key)} {shown(value)} is no setting that is known here")
        elif active(value) and key not in ignored:
            refuse(place, f"{named(key)} {shown(value)} is read by nobody", hint=key)


def check_key(place: str, key: str, value: Any, rule: Key) -> None:
    asks = rule.strict or active(value)
    if rule.verdict == "refused" and asks and not passes(value, rule.passes):
        refuse(place, f"{named(key)} {shown(value)} {rule.reason}")
    if value is not None and rule.shape != "anything" and not fits(value, rule.shape):
        refuse(place, f"{named(key)} {shown(value)} is not {SHAPES[rule.shape]}")


def active(value: Any) -> bool:
    """Whether a value asks for something: anything but null, false and what is empty."""
    if isinstance(value, dict | list):
        return any(
            active(inner) for inner in (value.values() if isinstance(value, dict) else value)
        )
    return not (value is None or value is False or value == "")


def passes(value: Any, values: Collection[Any]) -> bool:
    """Equal to one of the values, where true is not 1."""
    return any(isinstance(value, bool) == isinstance(one, bool) and value == one for one in values)


def either(names: Collection[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}"


def named(key: str) -> str:
    return key if PLAIN.fullmatch(key) else shown(key)


def fits(value: Any, shape: Shape) -> bool:
    match shape:
        case "text":
            return isinstance(value, str)
        case "flag":
            return isinstance(value, bool)
        case "count":
            return isinstance(value, int) and not isinstance(value, bool) and value > 0
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "object":
            return isinstance(value, dict)
        case "texts":
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case _:
            return True
