"""Pooled embeddings → the six formats a client can ask for. Pure numpy, and the reference.

The exporter copies this file beside the quantize step's `model.py`, byte for byte.
Source: docs/contract.md, "Numeric semantics".
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NATIVE = 0  # the value of the tensor DIMENSIONS that asks for no cut
# In the order of their bits in the tensor FORMATS, from the least: FLOAT is 1, FLOAT16 is 2.
FORMATS = ("FLOAT", "FLOAT16", "INT8", "UINT8", "BINARY", "UBINARY")
# Numbers that are in float64 at a time: 128 KiB, which stay in the cache. For all of a call malloc
# asks the kernel, and fresh pages cost more than what is computed in them.
BLOCK_NUMBERS = 16384


class DimensionsRefused(ValueError):
    """A cut that the model does not allow.

    details  what was asked for, and what the model allows
    """

    def __init__(self, asked: int, native: int, matryoshka: bool) -> None:
        super().__init__(f"{asked} of {native} dimensions")
        self.details = {"dimensions": asked, "native": native, "matryoshka": matryoshka}


class FormatsRefused(ValueError):
    """A number that is no set of formats.

    details  what was asked for, and the set of all
    """

    def __init__(self, formats: int) -> None:
        super().__init__(f"{formats} is no set of formats")
        self.details = {"formats": formats, "all": 2 ** len(FORMATS) - 1}


def read_formats(formats: int) -> tuple[str, ...]:
    """The names in a set of formats, as the tensor FORMATS holds it.

    Raises: FormatsRefused for a bit that stands for nothing, and for the empty set.
    """
    if not 0 < formats < 2 ** len(FORMATS):
        raise FormatsRefused(formats)
    return tuple(name for bit, name in enumerate(FORMATS) if formats >> bit & 1)


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
    numbers = np.empty(unit.shape, np.int8)
    for rows in _blocks(*unit.shape):
        scaled = _scale(unit[rows])
        numbers[rows] = np.clip(scaled.astype(np.int16), -128, 127)
    return numbers


def to_uint8(unit: Floats) -> NDArray[np.uint8]:
    """Scaled, moved by 128, clamped to 0..255, rounded down: (N, d) → (N, d)."""
    numbers = np.empty(unit.shape, np.uint8)
    for rows in _blocks(*unit.shape):
        moved = _scale(unit[rows])
        moved += 128
        numbers[rows] = np.clip(moved.astype(np.int16), 0, 255)
    return numbers


def _blocks(count: int, dimensions: int) -> Iterator[slice]:
    """Slices of (N, d) of at most BLOCK_NUMBERS, or of one row."""
    size = max(BLOCK_NUMBERS // dimensions, 1)
    return (slice(start, start + size) for start in range(0, count, size))


def _scale(unit: Floats) -> NDArray[np.float64]:
    """The components of unit vectors on the int8 scale, before they are clamped.

    They are far within int16, for however many dimensions there are. Truncated to it first and
    clamped then they are what they would be the other way round, as the bounds are integers, and
    integers are clamped in a fifth of the time. Truncating rounds up what is negative, which in
    uint8 becomes 0 either way.
    """
    scaled = unit.astype(np.float64)
    scaled *= int8_scale(unit.shape[1])
    return scaled


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
    formats     names out of FORMATS, and WIDTH
    returns     format → (N, d) or (N, ⌈d/8⌉); WIDTH → (1,) int32, d

    Raises: FloatingPointError if an embedding is not finite.
    """
    cut = truncate_dimensions(embeddings, dimensions)
    if not np.isfinite(cut).all():
        raise FloatingPointError("an embedding is not finite")
    unit = cache(lambda: normalize(cut))  # which the bits do without

    def given() -> Floats:
        return unit() if normalized else cut

    makers: dict[str, Callable[[], NDArray[Any]]] = {
        "FLOAT": lambda: np.ascontiguousarray(given(), dtype=np.float32),
        "FLOAT16": lambda: given().astype(np.float16),
        "INT8": lambda: to_int8(unit()),
        "UINT8": lambda: to_uint8(unit()),
        "BINARY": lambda: to_binary(cut),
        "UBINARY": lambda: to_ubinary(cut),
        "WIDTH": lambda: np.array([cut.shape[1]], dtype=np.int32),
    }
    return {name: makers[name]() for name in formats}
