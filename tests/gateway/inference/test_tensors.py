"""The tensors of the ensemble and their bytes."""

from typing import Any

import numpy as np
import pytest

from gateway.inference import tensors
from tests.fakes import unpack_texts


@pytest.mark.parametrize(
    "texts", [[], [b""], [b"a", b"", "ü\0".encode()], [b"x" * 70_000]], ids=["0", "1", "3", "long"]
)
def test_texts_survive_the_wire(texts: list[bytes]) -> None:
    assert texts == unpack_texts(tensors.pack_bytes(texts))


@pytest.mark.parametrize(
    ("number_format", "dimensions", "shape", "dtype"),
    [
        ("float", 13, (2, 13), "<f4"),
        ("float16", 13, (2, 13), "<f2"),
        ("int8", 13, (2, 13), "i1"),
        ("ubinary", 13, (2, 2), "u1"),
        ("binary", 16, (2, 2), "i1"),
        ("binary", 1, (2, 1), "i1"),
    ],
)
def test_packed_formats_have_a_row_of_bytes(
    number_format: Any, dimensions: int, shape: tuple[int, int], dtype: str
) -> None:
    array = tensors.allocate(number_format, 2, dimensions)
    assert (shape, np.dtype(dtype)) == (array.shape, array.dtype)


def test_the_table_is_that_of_the_repository() -> None:
    inputs = {tensor.name: (tensor.datatype, tensor.dims) for tensor in tensors.INPUTS}
    assert inputs == {
        "TEXT": ("BYTES", (-1,)),
        "TRUNCATION": ("INT32", (1,)),
        "DIMENSIONS": ("INT32", (1,)),
        "NORMALIZED": ("BOOL", (1,)),
        "FORMATS": ("INT32", (1,)),
    }
    outputs = {tensor.name: (tensor.datatype, tensor.dims) for tensor in tensors.OUTPUTS}
    assert outputs == {
        "FLOAT": ("FP32", (-1, -1)),
        "FLOAT16": ("FP16", (-1, -1)),
        "INT8": ("INT8", (-1, -1)),
        "UINT8": ("UINT8", (-1, -1)),
        "BINARY": ("INT8", (-1, -1)),
        "UBINARY": ("UINT8", (-1, -1)),
        "TOKEN_COUNT": ("INT32", (-1,)),
        "WIDTH": ("INT32", (1,)),
    }
    assert {"end": 0, "start": 1, "none": 2} == tensors.TRUNCATION_CODES
    codes = {"float": 1, "float16": 2, "int8": 4, "uint8": 8, "binary": 16, "ubinary": 32}
    assert codes == tensors.FORMAT_CODES


def test_formats_are_a_set() -> None:
    assert b"\x24\0\0\0" == tensors.pack_formats(("ubinary", "int8", "ubinary"))


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (None, 0),
        (1, 1),
        (1024, 1024),
        (0, -1),
        (-1, -1),
        (-(2**53), -1),
        (2**31 - 1, 2**31 - 1),
        (2**31, 2**31 - 1),
        (2**53, 2**31 - 1),
    ],
)
def test_dimensions_that_cannot_be_are_sent_as_such(asked: int | None, sent: int) -> None:
    assert sent.to_bytes(4, "little", signed=True) == tensors.pack_dimensions(asked)


def declared(*changes: tuple[str, object]) -> tuple[dict[str, Any], dict[str, Any]]:
    inputs = {tensor.name: (tensor.datatype, tensor.dims) for tensor in tensors.INPUTS}
    outputs = {tensor.name: (tensor.datatype, tensor.dims) for tensor in tensors.OUTPUTS}
    for name, declaration in changes:
        (inputs if name in inputs else outputs)[name] = declaration  # type: ignore[assignment]
    return inputs, outputs


@pytest.mark.parametrize(
    "changes",
    [[], [("FLOAT", ("FP32", (-1, 1024)))], [("EXTRA", ("FP32", (-1,)))]],
    ids=["as-expected", "known-size", "another-output"],
)
def test_a_fitting_ensemble_has_no_mismatch(changes: list[tuple[str, object]]) -> None:
    assert tensors.find_mismatch(*declared(*changes)) == ""


def test_an_ensemble_of_an_older_export_has_no_mismatch() -> None:
    inputs, outputs = declared()
    del inputs["FORMATS"]
    assert tensors.find_mismatch(inputs, outputs) == ""
    del inputs["NORMALIZED"]
    assert "NORMALIZED" in tensors.find_mismatch(inputs, outputs)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("TEXT", ("BYTES", (-1, 1))), "TEXT"),
        (("DIMENSIONS", ("INT64", (1,))), "DIMENSIONS"),
        (("FORMATS", ("INT64", (1,))), "FORMATS"),
        (("FLOAT", ("FP16", (-1, -1))), "FLOAT"),
        (("INT8", ("INT8", (-1,))), "INT8"),
    ],
)
def test_a_mismatch_names_the_tensor(change: tuple[str, object], named: str) -> None:
    assert named in tensors.find_mismatch(*declared(change))
