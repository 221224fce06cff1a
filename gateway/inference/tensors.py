"""The tensors of the ensemble: names, datatypes, shapes, and their bytes on the wire.

The table is that of model_repository/README.md; a test compares it with the exported config.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.inference.embedder import NumberFormat, Truncation


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as Triton declares it; -1 stands for a size known only at run time."""

    name: str
    datatype: str
    dims: tuple[int, ...]


TEXT = Tensor("TEXT", "BYTES", (-1,))  # [N]
TRUNCATION = Tensor("TRUNCATION", "INT32", (1,))
DIMENSIONS = Tensor("DIMENSIONS", "INT32", (1,))
NORMALIZED = Tensor("NORMALIZED", "BOOL", (1,))
FORMATS = Tensor("FORMATS", "INT32", (1,))
# Repositories of older exports have no FORMATS, and compute every format for every call.
INPUTS = (TEXT, TRUNCATION, DIMENSIONS, NORMALIZED, FORMATS)

TOKEN_COUNT = Tensor("TOKEN_COUNT", "INT32", (-1,))  # [N]
EMBEDDINGS: dict[NumberFormat, Tensor] = {
    "float": Tensor("FLOAT", "FP32", (-1, -1)),  # [N, d]
    "float16": Tensor("FLOAT16", "FP16", (-1, -1)),
    "int8": Tensor("INT8", "INT8", (-1, -1)),
    "uint8": Tensor("UINT8", "UINT8", (-1, -1)),
    "binary": Tensor("BINARY", "INT8", (-1, -1)),  # [N, ⌈d/8⌉]
    "ubinary": Tensor("UBINARY", "UINT8", (-1, -1)),
}
WIDTH = Tensor("WIDTH", "INT32", (1,))  # d
OUTPUTS = (*EMBEDDINGS.values(), TOKEN_COUNT, WIDTH)

NATIVE_DIMENSIONS = 0  # of DIMENSIONS, where nothing is to be cut
# What cannot be allowed is sent as a number that is none either, for the model to refuse.
_LEAST_DIMENSIONS, _MOST_DIMENSIONS = -1, 2**31 - 1
# Bits of FORMATS.
FORMAT_CODES: dict[NumberFormat, int] = {
    number_format: 1 << bit for bit, number_format in enumerate(EMBEDDINGS)
}
TRUNCATION_CODES: dict[Truncation, int] = {"end": 0, "start": 1, "none": 2}

DTYPES: dict[str, np.dtype[Any]] = {
    "FP32": np.dtype("<f4"),
    "FP16": np.dtype("<f2"),
    "INT8": np.dtype("i1"),
    "UINT8": np.dtype("u1"),
    "INT32": np.dtype("<i4"),
}

_pack_length = struct.Struct("<I").pack


def shape(number_format: NumberFormat, count: int, dimensions: int) -> tuple[int, int]:
    """Of the rows for `count` texts: (N, d), or (N, ⌈d/8⌉) for the packed number_formats."""
    is_packed = number_format in ("binary", "ubinary")
    return count, (dimensions + 7) // 8 if is_packed else dimensions


def count_bytes(number_format: NumberFormat, count: int, dimensions: int) -> int:
    """Of the rows for `count` texts."""
    rows, columns = shape(number_format, count, dimensions)
    return rows * columns * DTYPES[EMBEDDINGS[number_format].datatype].itemsize


def allocate(number_format: NumberFormat, count: int, dimensions: int) -> NDArray[Any]:
    """Uninitialised rows for `count` texts."""
    dtype = DTYPES[EMBEDDINGS[number_format].datatype]
    return np.empty(shape(number_format, count, dimensions), dtype)


def pack_bytes(texts: Sequence[bytes]) -> bytes:
    """BYTES as Triton reads it: each text behind its length in four little-endian bytes."""
    lengths = map(_pack_length, map(len, texts))
    return b"".join(chain.from_iterable(zip(lengths, texts, strict=True)))


def pack_int32(number: int) -> bytes:
    return struct.pack("<i", number)


def pack_dimensions(asked: int | None) -> bytes:
    """DIMENSIONS of a call; None asks for the native size."""
    if asked is None:
        return pack_int32(NATIVE_DIMENSIONS)
    return pack_int32(min(asked, _MOST_DIMENSIONS) if asked > 0 else _LEAST_DIMENSIONS)


def pack_formats(number_formats: Iterable[NumberFormat]) -> bytes:
    """FORMATS of a call that wants these."""
    return pack_int32(sum(FORMAT_CODES[number_format] for number_format in set(number_formats)))


def pack_bool(flag: bool) -> bytes:
    return b"\x01" if flag else b"\x00"


def unpack(tensor: Tensor, raw: bytes, shape: tuple[int, ...]) -> NDArray[Any]:
    """The numbers in `raw`; a view, not a copy.

    Raises: ValueError if they do not fill the shape.
    """
    return np.frombuffer(raw, DTYPES[tensor.datatype]).reshape(shape)


def find_mismatch(
    inputs: Mapping[str, tuple[str, tuple[int, ...]]],
    outputs: Mapping[str, tuple[str, tuple[int, ...]]],
) -> str:
    """What in an ensemble's declaration is not as in the tables above; empty if nothing.

    inputs, outputs  name → (datatype, dims) as declared

    Inputs must be exactly ours, FORMATS apart, which may be missing. Outputs may be more than ours,
    and may state d instead of -1.
    """
    missing = [tensor.name for tensor in OUTPUTS if tensor.name not in outputs]
    if missing:
        return f"output {missing[0]} is missing"
    expected = {tensor.name: (tensor.datatype, tensor.dims) for tensor in INPUTS}
    if {FORMATS.name: expected[FORMATS.name], **inputs} != expected:
        return f"inputs are {dict(inputs)}, expected {expected}"
    for tensor in OUTPUTS:
        datatype, dims = outputs[tensor.name]
        if (datatype, len(dims)) != (tensor.datatype, len(tensor.dims)):
            return (
                f"output {tensor.name} is {datatype} {dims},"
                f" expected {tensor.datatype} {tensor.dims}"
            )
    return ""
