"""Arrays → what JSON holds."""

import base64
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.inference.embedder import NumberFormat
from gateway.rest.encoding import Format, encode, number_formats_of
from gateway.settings import BitOrder
from tests.fakes import quantize

# A worked example: a unit vector of eight components.
UNIT = np.array([[0.5, -0.5, 0.25, -0.25, 0.5, -0.25, 0.25, 0.0]], dtype=np.float32)


def encode_rows(
    arrays: dict[NumberFormat, NDArray[Any]], name: Format, bit_order: BitOrder = "msb"
) -> list[Any]:
    column = encode(arrays, [name], bit_order)[name]
    return [row if isinstance(row, str) else row.tolist() for row in column]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("float", UNIT[0].tolist()),
        ("float16", UNIT[0].tolist()),
        ("base64", "AAAAPwAAAL8AAIA+AACAvgAAAD8AAIC+AACAPgAAAAA="),
        ("ubinary", [170]),
        ("binary", [42]),
        ("int8", [47, -47, 23, -23, 47, -23, 23, 0]),
        ("uint8", [175, 80, 151, 104, 175, 104, 151, 128]),
    ],
)
def test_the_worked_example(name: Format, expected: object) -> None:
    arrays: Any = quantize(UNIT, 8, normalized=True)
    assert [expected] == encode_rows(arrays, name)


def test_base64_is_little_endian_float32_whatever_the_array_is() -> None:
    swapped = UNIT.astype(">f4")
    (text,) = encode_rows({"float": swapped}, "base64")
    assert UNIT.tobytes() == base64.b64decode(text)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 6, 384, 512])
@pytest.mark.parametrize("count", [1, 5])
def test_base64_of_every_width_is_that_of_each_row(d: int, count: int) -> None:
    rows = np.random.default_rng(d).standard_normal((count, d), dtype=np.float32)
    told = encode_rows({"float": rows}, "base64")
    assert [base64.b64encode(row.tobytes()).decode() for row in rows] == told


def test_float_and_base64_come_from_one_array() -> None:
    assert number_formats_of(("base64", "int8", "float")) == ("float", "int8")


@pytest.mark.parametrize("d", range(1, 66))
def test_lsb_is_what_numpy_packs_little(d: int) -> None:
    signs = np.random.default_rng(d).random((3, d)) > 0.5
    big, little = np.packbits(signs, axis=1), np.packbits(signs, axis=1, bitorder="little")
    assert little.tolist() == encode_rows({"ubinary": big}, "ubinary", "lsb")


def test_lsb_of_binary_keeps_the_offset() -> None:
    every_byte = np.arange(256).reshape(1, 256)
    binary = (every_byte - 128).astype(np.int8)
    (row,) = encode_rows({"binary": binary}, "binary", "lsb")
    assert [int(f"{byte:08b}"[::-1], 2) - 128 for byte in range(256)] == row


def test_bit_order_leaves_other_formats_alone() -> None:
    arrays: Any = quantize(UNIT, 8, normalized=True)
    assert encode_rows(arrays, "int8", "lsb") == [[47, -47, 23, -23, 47, -23, 23, 0]]
