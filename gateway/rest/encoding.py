"""Arrays → what JSON holds, for every `encoding_format`; no Python loop touches a number."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import pybase64
from numpy.typing import NDArray

from gateway.inference.embedder import NumberFormat
from gateway.settings import BitOrder

Format = Literal["float", "float16", "binary", "ubinary", "int8", "uint8", "base64"]
Column = Sequence[str] | NDArray[Any]  # one entry, or one row, per text

FORMATS: tuple[Format, ...] = get_args(Format)

# Byte b with its eight bits in the opposite order: (256,) uint8.
_REVERSED = np.packbits(
    np.unpackbits(np.arange(256, dtype=np.uint8)).reshape(256, 8), axis=1, bitorder="little"
).reshape(256)

_SIGN_BIT = np.uint8(0x80)

# Commas included: 12.2 for a float32 on average, docs/benchmarks.md.
JSON_BYTES_PER_NUMBER: dict[Format, float] = {
    "float": 13, "float16": 11, "binary": 5, "ubinary": 4, "int8": 5, "uint8": 4, "base64": 5.4,
}  # fmt: skip


def number_format_of(encoding_format: Format) -> NumberFormat:
    """The array a format is written from: `base64` holds the same floats as `float`."""
    return "float" if encoding_format == "base64" else encoding_format


@lru_cache
def number_formats_of(formats: tuple[Format, ...]) -> tuple[NumberFormat, ...]:
    """The arrays needed for the formats, each once, in the order of first need."""
    return tuple(dict.fromkeys(number_format_of(encoding_format) for encoding_format in formats))


def json_bytes(arrays: Mapping[NumberFormat, NDArray[Any]], formats: Iterable[Format]) -> int:
    """Bytes that the formats take in JSON, at most and about: for the room that they need."""
    return sum(
        int(arrays[number_format_of(name)].size * JSON_BYTES_PER_NUMBER[name]) for name in formats
    )


def encode(
    arrays: Mapping[NumberFormat, NDArray[Any]], formats: Iterable[Format], bit_order: BitOrder
) -> dict[Format, Column]:
    """One column per format, one entry of it per text.

    arrays   number_format → (N, d) or (N, ⌈d/8⌉), C-contiguous
    returns  format → (N, …) array, or N strings for `base64`
    """
    return {
        name: _encode_column(arrays[number_format_of(name)], name, bit_order) for name in formats
    }


def _encode_column(array: NDArray[Any], encoding_format: Format, bit_order: BitOrder) -> Column:
    if encoding_format == "base64":
        return encode_base64(array)
    if bit_order == "lsb" and encoding_format == "ubinary":
        return reverse_bits(array)
    if bit_order == "lsb" and encoding_format == "binary":
        # The ubinary byte minus 128, as int8, is that byte with its highest bit flipped.
        return (reverse_bits(array.view(np.uint8) ^ _SIGN_BIT) ^ _SIGN_BIT).view(np.int8)
    return array


def encode_base64(array: NDArray[np.float32]) -> list[str]:
    """Each row of (N, d) as base64 of its little-endian float32 bytes, padded with `=`.

    Rows that end with a group of base64, of three bytes, are cut out of one string.
    """
    rows = np.ascontiguousarray(array, dtype="<f4")
    groups, rest = divmod(rows.shape[1] * rows.itemsize, 3)
    if rest:
        return [pybase64.b64encode_as_string(row.data) for row in rows]
    whole, width = pybase64.b64encode_as_string(rows.data), 4 * groups
    return [whole[start : start + width] for start in range(0, len(whole), width)]


def reverse_bits(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bytes with most significant bit first → least significant bit first, same shape."""
    return _REVERSED[array]
