"""Weights that need not travel: a graph of 50 kB, a list of its weights, and numbers by seed.

The same names and sizes give the same bits on every machine and of every version of numpy, so two
forms of one graph agree, and a checksum made here holds there.
"""

import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DEVIATION = 0.02  # of BERT's initial weights
LISTING = "weights.json"  # beside model.onnx
SCALE = "scale"  # of a layer norm, about one
_SPREAD = 2**16 / np.sqrt(12)  # standard deviation of uniform numbers of 16 bits


@dataclass(frozen=True, slots=True)
class Weight:
    """A float16 tensor in the file of weights.

    kind  SCALE, or "" for numbers about zero
    """

    name: str
    size: int  # numbers
    offset: int  # bytes
    kind: str = ""


def write_listing(weights: list[Weight], graph: Path) -> None:
    """Beside the graph."""
    text = json.dumps([asdict(weight) for weight in weights], indent=0)
    graph.with_name(LISTING).write_text(text)


def read_listing(graph: Path) -> list[Weight]:
    return [Weight(**fields) for fields in json.loads(graph.with_name(LISTING).read_text())]


def numbers(weight: Weight) -> NDArray[np.float16]:
    """(size,), uniform with the deviation of BERT's."""
    bits = np.random.PCG64(zlib.crc32(weight.name.encode()))
    drawn = bits.random_raw(-(-weight.size // 4)).view(np.uint16)[: weight.size]
    values = (drawn.astype(np.float32) - np.float32(2**15 - 0.5)) * np.float32(DEVIATION / _SPREAD)
    return (values + np.float32(weight.kind == SCALE)).astype(np.float16)


def data_of(graph: Path) -> Path:
    """The file of weights that a graph names."""
    return graph.with_name(f"{graph.name}.data")


def fill(graph: Path) -> None:
    """Write the weights beside a graph that came without; nothing where they are."""
    data = data_of(graph)
    if data.exists():
        return
    part = data.with_suffix(".part")
    with part.open("wb") as file:
        for weight in read_listing(graph):
            file.seek(weight.offset)
            numbers(weight).tofile(file)
    part.rename(data)
