"""What the mutations share: JSON files read and written back, and a choice among what is there."""

import json
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")


class Impossible(Exception):
    """The folder holds nothing that this mutation could change, or another has broken it."""


def choose(draw: Random, options: Iterable[T]) -> T:
    """One of them.

    Raises: Impossible if there are none.
    """
    found = list(options)
    if not found:
        raise Impossible
    return draw.choice(found)


def read(path: Path) -> Any:
    """Raises: Impossible if there is no such JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Impossible from error


def read_object(path: Path) -> dict[str, Any]:
    """Raises: Impossible if there is no such JSON file, or none that holds an object."""
    content = read(path)
    if not isinstance(content, dict):
        raise Impossible
    return content


def write(path: Path, content: Any) -> None:
    """Floats that JSON does not know as Python writes them."""
    path.write_text(json.dumps(content), encoding="utf-8")


def set_key(path: Path, key: str, value: Any) -> str:
    """Give an object one more key, or another value; an object in a new file if there is none."""
    content = read_object(path) if path.exists() else {}
    write(path, content | {key: value})
    return f"{path.name}: {key} = {shorten(value)}"


def shorten(value: Any) -> str:
    """A value as JSON, or its beginning."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
