"""Pooled embeddings → the six formats a client can ask for. Pure numpy, and the reference.

The exporter copies this file beside the quantize step's `model.py`, byte for byte.
Source: docs/contract.md, "Numeric semantics".
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NATIVE = 0  # the value of the tensor DIMENSIONS that asks for no cut


class DimensionsRefused(ValueError):
    """A cut that the model does not allow.

    details  what was asked for, and what the model allows
    """

    def __init__(self, asked: int, native: int, matryoshka: bool) -> None:
        super().__init__(f"{asked} of {native} dimensions")
        self.details = {"dimensions": asked, "native": native, "matryoshka": matryoshka}


def resolve_dimensions(asked: int, native: int, matryoshka: bool) -> int:
    """d, the dimensions of the answer.

    asked       d, or NATIVE
    native      D, of the embeddings that are there
    matryoshka  whether the model was trained for cut dimensions

    Raises: DimensionsRefused above D, below 1, and below D unless trained for it.
    """
    if asked in (NATIVE, native):
        return native
    if matryoshka and 1 <= asked < native:
        return asked
    raise DimensionsRefused(asked, native, matryoshka)


def truncate_dimensions(embeddings: Floats, dimensions: int) -> Floats:
    """The first d dimensions: (N, D) → (N, d). The Matryoshka cut comes before the norm."""
    return embeddings[:, :dimensions]


def normalize(embeddings: Floats) -> Floats:
    """Rows of length 1: (N, d) → (N, d). A zero row stays zero."""
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.maximum(norms, np.float32(1e-12))


def int8_scale(dimensions: int) -> float:
    """Factor from a unit vector's components to the int8 range.

    It grows with d because the components of a unit vector shrink with it; below 8 dimensions
    it is held, so that it stays positive.
    Source: mixedbread-ai/ofen 541beee; 459.367 at d = 1024, as measured on the hosted service.
    """
    return float(74.9 * np.log(max(dimensions, 8)) - 59.8)


def to_int8(unit: Floats) -> NDArray[np.int8]:
    """Scaled, clamped to -128..127, truncated toward zero: (N, d) → (N, d)."""
    scaled = unit.astype(np.float64) * int8_scale(unit.shape[1])
    return np.trunc(np.clip(scaled, -128, 127)).astype(np.int8)


def to_uint8(unit: Floats) -> NDArray[np.uint8]:
    """Scaled, moved by 128, clamped to 0..255, rounded down: (N, d) → (N, d)."""
    scaled = unit.astype(np.float64) * int8_scale(unit.shape[1]) + 128
    return np.floor(np.clip(scaled, 0, 255)).astype(np.uint8)


def to_ubinary(embeddings: Floats) -> NDArray[np.uint8]:
    """One bit a dimension, 1 where positive: (N, d) → (N, ⌈d/8⌉).

    The first dimension is the most significant bit; the unused bits of a last byte are 0.
    """
    return np.packbits(embeddings > 0, axis=1)


def to_binary(embeddings: Floats) -> NDArray[np.int8]:
    """The ubinary byte minus 128, an offset and not a reinterpretation: (N, d) → (N, ⌈d/8⌉)."""
    return (to_ubinary(embeddings).astype(np.int16) - 128).astype(np.int8)


def quantize(
    embeddings: Floats, dimensions: int, normalized: bool, formats: Iterable[str]
) -> dict[str, NDArray[Any]]:
    """The asked outputs for pooled embeddings.

    embeddings  (N, D) float32, as the encoder pools them
    dimensions  d, 1..D
    normalized  whether FLOAT and FLOAT16 have length 1; the others do not depend on it
    formats     names out of FLOAT FLOAT16 INT8 UINT8 BINARY UBINARY, and WIDTH
    returns     format → (N, d) or (N, ⌈d/8⌉); WIDTH → (1,) int32, d

    Raises: FloatingPointError if an embedding is not finite.
    """
    cut = truncate_dimensions(embeddings, dimensions)
    if not np.isfinite(cut).all():
        raise FloatingPointError("an embedding is not finite")
    unit = normalize(cut)
    given = unit if normalized else cut
    makers: dict[str, Callable[[], NDArray[Any]]] = {
        "FLOAT": lambda: np.ascontiguousarray(given, dtype=np.float32),
        "FLOAT16": lambda: given.astype(np.float16),
        "INT8": lambda: to_int8(unit),
        "UINT8": lambda: to_uint8(unit),
        "BINARY": lambda: to_binary(cut),
        "UBINARY": lambda: to_ubinary(cut),
        "WIDTH": lambda: np.array([cut.shape[1]], dtype=np.int32),
    }
    return {name: makers[name]() for name in formats}
