"""What the text of a float32 costs, by every library here that keeps all of its bits.

Unit vectors of 256 texts with 384 dimensions, as an answer holds them; CPU of this process, the
lowest of all rounds. orjson and msgspec are installed with the gateway. The others are tried if
they are there: pip install ssrjson polars pyarrow ujson python-rapidjson pyzmij.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

ROUNDS = 15
Rows = NDArray[np.float32]
Writer = Callable[[Rows], Any]


def vectors() -> Rows:
    """(256, 384), each of length 1."""
    rows = np.random.default_rng(0).standard_normal((256, 384), dtype=np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def writers() -> dict[str, Writer]:
    """By what they are called in the table."""
    numpy = orjson.OPT_SERIALIZE_NUMPY
    found: dict[str, Writer] = {
        "orjson, array of float32": lambda rows: orjson.dumps(rows, option=numpy),
        "orjson, array of float64": lambda rows: orjson.dumps(rows.astype("f8"), option=numpy),
        "orjson, list": lambda rows: orjson.dumps(rows.tolist()),
        "msgspec, list": lambda rows: msgspec.json.encode(rows.tolist()),
    }
    for name, make in OTHERS.items():
        with suppress(ImportError):
            found[name] = make(import_module(name.partition(",")[0]))
    return found


OTHERS: dict[str, Callable[[Any], Writer]] = {
    "ssrjson, list": lambda module: lambda rows: module.dumps_to_bytes(rows.tolist()),
    "ujson, list": lambda module: lambda rows: module.dumps(rows.tolist()),
    "rapidjson, list": lambda module: lambda rows: module.dumps(rows.tolist()),
    "pyzmij, list": lambda module: lambda rows: module.format_many(rows.ravel().tolist()),
    "polars, column": lambda module: (
        lambda rows: module.Series(rows.ravel()).cast(module.String).to_arrow()
    ),
    "pyarrow, column": lambda module: lambda rows: module.array(rows.ravel()).cast("string"),
}


def read(text: Any) -> list[str]:
    """Each number as it was written."""
    if isinstance(text, bytes | str):
        plain = text if isinstance(text, str) else text.decode()
        return plain.translate({ord("["): None, ord("]"): None}).split(",")
    return text if isinstance(text, list) else text.to_pylist()


def measure(write: Writer, rows: Rows) -> str:
    """Nanoseconds and bytes a number, and whether every bit came back."""
    lowest = float("inf")
    for _ in range(ROUNDS):
        began = time.thread_time_ns()
        text = write(rows)
        lowest = min(lowest, time.thread_time_ns() - began)
    words = read(text)
    return (
        f"{lowest / rows.size:.1f} | {sum(map(len, words)) / rows.size + 1:.1f}"
        f" | {'yes' if comes_back(words, rows) else '**no**'}"
    )


def comes_back(words: Sequence[str], rows: Rows) -> bool:
    """Whether the numbers, read as float64 and rounded to float32, are the same to the bit."""
    told = np.array([float(word) for word in words]).astype(np.float32)
    return told.tobytes() == rows.tobytes()


def main() -> None:
    rows = vectors()
    print("| writer | ns a number | bytes, comma included | exact |")
    print("| --- | ---: | ---: | --- |")
    for name, write in writers().items():
        print(f"| {name} | {measure(write, rows)} |", flush=True)


if __name__ == "__main__":
    main()
