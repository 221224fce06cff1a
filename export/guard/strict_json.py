"""A JSON file of a checkpoint, read strictly: whatever is wrong with it is one sentence.

Python's json and the libraries that read these files after us accept more than JSON: of a key
that stands twice the last, NaN as a number. Each is a guess at what the author meant.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from export.errors import CheckpointNotFound, UnsupportedModel

BYTES = 64 * 2**20  # the largest real tokenizer_config.json has about 1 MB
DEPTH = 64  # the deepest real file is a modality_config, 4
DIGITS = 40  # model_max_length is 1000000000000000019884624838656, 31 digits
SHOWN = 60  # characters of a value that a sentence quotes


def read_object(folder: Path, name: str) -> dict[str, Any]:
    """Raises: CheckpointNotFound if there is no such file or it is no JSON; UnsupportedModel."""
    content = read(folder, name)
    if not isinstance(content, dict):
        raise UnsupportedModel(f"{name}: {shown(content)} stands where an object is expected")
    return content


def read(folder: Path, name: str) -> Any:
    """The content of a file of the folder.

    Raises: CheckpointNotFound if there is no such file or it is no JSON; UnsupportedModel if it
    is no JSON that everybody reads alike.
    """
    path = folder / name
    try:
        if not path.is_file():
            missing = "is no file" if path.exists() else f"is missing in {folder}"
            raise CheckpointNotFound(f"{name}: {missing}")
        if path.stat().st_size > BYTES:
            raise CheckpointNotFound(f"{name}: more than {BYTES >> 20} MiB are no configuration")
        content = json.loads(
            path.read_bytes().decode("utf-8"),
            object_pairs_hook=lambda pairs: _once(name, pairs),
            parse_constant=lambda word: _no_number(name, word),
            parse_float=lambda digits: _float(name, digits),
            parse_int=lambda digits: _integer(name, digits),
        )
    except (OSError, ValueError, RecursionError) as error:  # JSON's and UTF-8's are ValueErrors
        raise CheckpointNotFound(f"{name}: is not JSON: {_reason(error)}") from error
    if _deeper(content, DEPTH):
        raise UnsupportedModel(f"{name}: more than {DEPTH} brackets within each other")
    return content


def exists(folder: Path, name: str) -> bool:
    """Whether there is anything of that name, be it a broken link."""
    return os.path.lexists(folder / name)


def shown(value: Any) -> str:
    """A value as its file has it, cut to what a sentence carries."""
    text = json.dumps(value, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _once(name: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise UnsupportedModel(f"{name}: {shown(twice)} stands twice in one object")
    return content


def _no_number(name: str, word: str) -> NoReturn:
    raise UnsupportedModel(f"{name}: {word} is no number of JSON")


def _float(name: str, digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _no_number(name, digits[:SHOWN])


def _integer(name: str, digits: str) -> int:
    if len(digits) > DIGITS:
        raise UnsupportedModel(f"{name}: a number of {len(digits)} digits")
    return int(digits)


def _reason(error: Exception) -> str:
    return "brackets too deep" if isinstance(error, RecursionError) else str(error).split("\n")[0]


def _deeper(value: Any, depth: int) -> bool:
    """True where more than `depth` lists and objects stand within each other."""
    level = [value]
    for _ in range(depth + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)
