"""Embeddings ↔ one record of bytes for each text, and nothing is lost on the way.

token_count int32 | dimensions int32 | the row of each number format, as Triton gave it
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from gateway.inference import tensors
from gateway.inference.embedder import Embeddings, NumberFormat

_DIMENSIONS_AT = 4
# Layouts remembered: a model has few sizes, and callers choose few formats at a time.
_LAYOUTS = 256


def pack(embeddings: Embeddings, number_formats: tuple[NumberFormat, ...]) -> list[bytes]:
    """(N,) records."""
    rows = np.empty(len(embeddings.token_counts), _layout(number_formats, embeddings.dimensions))
    rows["token_count"] = embeddings.token_counts
    rows["dimensions"] = embeddings.dimensions
    for number_format in number_formats:
        rows[number_format] = embeddings.arrays[number_format]
    packed, size = rows.tobytes(), rows.itemsize
    return [packed[start : start + size] for start in range(0, len(packed), size)]


def unpack(
    records: Sequence[bytes], number_formats: tuple[NumberFormat, ...], edition: str
) -> Embeddings:
    """What N records of one edition hold, N at least 1."""
    (dimensions,) = struct.unpack_from("<i", records[0], _DIMENSIONS_AT)
    rows = np.frombuffer(b"".join(records), _layout(number_formats, dimensions))
    # Copied, also where there is but one row: within a record numbers stand at any address.
    arrays = {name: rows[name].copy() for name in number_formats}
    return Embeddings(arrays, rows["token_count"].copy(), dimensions, edition)


@lru_cache(_LAYOUTS)
def _layout(number_formats: tuple[NumberFormat, ...], dimensions: int) -> np.dtype[Any]:
    fields: list[Any] = [("token_count", "<i4"), ("dimensions", "<i4")]
    for name in number_formats:
        (_, columns) = tensors.shape(name, 1, dimensions)
        fields.append((name, tensors.DTYPES[tensors.EMBEDDINGS[name].datatype], (columns,)))
    return np.dtype(fields)
