"""Values at random, of what the chart's schema allows of each.

The library for that, hypothesis-jsonschema, does not run with a Hypothesis of today.
"""

from functools import cache
from typing import Any

from hypothesis import strategies as st

from tests.helm.chart import WORKED, Values, changed, worked
from tests.helm.conditions import Schema
from tests.helm.schema import values_schema

SCHEMA = values_schema()
# All but what no keyboard has: other controls than the end of a line.
_LETTERS = st.characters(exclude_categories=("Cc", "Cs"), include_characters="\n")
_KEYS = st.from_regex("[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)


def leaves(schema: Schema, path: str = "") -> dict[str, Schema]:
    """Every value of a schema that has none below it, by its path with dots."""
    found: dict[str, Schema] = {}
    for key, one in schema.get("properties", {}).items():
        place = f"{path}.{key}".lstrip(".")
        found |= leaves(one, place) if "properties" in one else {place: one}
    return found


LEAVES = leaves(SCHEMA)


@st.composite
def changed_values(draw: st.DrawFn) -> Values:
    """A worked file with a few values that the schema allows one by one."""
    file = draw(st.sampled_from(WORKED))
    paths = draw(st.lists(st.sampled_from(sorted(LEAVES)), min_size=1, max_size=4, unique=True))
    values = worked(file.stem.removesuffix("-values"))
    return changed(values, {path: draw(_of_path(path)) for path in paths})


@cache
def _of_path(path: str) -> st.SearchStrategy[Any]:
    return _of(LEAVES[path])


@cache
def _of_definition(name: str) -> st.SearchStrategy[Any]:
    return st.deferred(lambda: _of(SCHEMA["definitions"][name]))


def _of(schema: Schema) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _of_definition(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    either = schema.get("anyOf") or schema.get("oneOf")
    if either:
        return st.one_of([_of(one) for one in either])
    kinds = schema.get("type", "object")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return st.one_of([_TYPES[kind](schema) for kind in kinds])


def _text(schema: Schema) -> st.SearchStrategy[str]:
    if "pattern" in schema:
        pattern: str = schema["pattern"]
        words = st.from_regex(pattern)
        return words.filter(lambda text: not text.endswith("\n"))
    texts = st.text(_LETTERS, min_size=schema.get("minLength", 0), max_size=20)
    return texts.filter(lambda text: text != "=")  # which PyYAML alone takes for no text


def _whole(schema: Schema) -> st.SearchStrategy[int]:
    least = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    return st.integers(least, schema.get("maximum"))


def _number(schema: Schema) -> st.SearchStrategy[float]:
    above = "exclusiveMinimum" in schema
    least, most = schema.get("minimum", 0), schema.get("maximum", 1e9)
    return st.floats(least, most, exclude_min=above, allow_subnormal=False)


def _list(schema: Schema) -> st.SearchStrategy[list[Any]]:
    return st.lists(_of(schema["items"]), min_size=schema.get("minItems", 0), max_size=2)


def _object(schema: Schema) -> st.SearchStrategy[Values]:
    properties = {key: _of(one) for key, one in schema.get("properties", {}).items()}
    required = {key: properties.pop(key) for key in schema.get("required", [])}
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        named = st.fixed_dictionaries(required, optional=properties)
        return st.builds(dict.__or__, st.dictionaries(_KEYS, _of(others), max_size=2), named)
    if not properties:
        return st.fixed_dictionaries(required)
    least = max(schema.get("minProperties", 0) - len(required), 0)
    most = max(min(schema.get("maxProperties", 9) - len(required), 2), least)
    some = st.sets(st.sampled_from(sorted(properties)), min_size=least, max_size=most)
    return some.flatmap(
        lambda keys: st.fixed_dictionaries({**required, **{key: properties[key] for key in keys}})
    )


_TYPES = {
    "string": _text,
    "integer": _whole,
    "number": _number,
    "boolean": lambda schema: st.booleans(),
    "array": _list,
    "object": _object,
}
