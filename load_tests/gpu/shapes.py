"""What is measured: the shapes of well-known encoders, forms of their graphs, lengths of texts."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Lengths = NDArray[np.int32]
MicroBatch = tuple[Ids, Lengths]  # (T,) and (N,)

LONGEST = 512  # tokens of a text
FEWEST = 4  # of a text among mixed ones
WAITING = 4  # times as many texts as are chosen of
SPECIAL = 1000  # ids below it have a meaning in BERT's vocabulary


@dataclass(frozen=True, slots=True)
class Shape:
    """A BERT of random weights."""

    name: str
    hidden: int  # H
    layers: int
    heads: int
    vocabulary: int = 30_522

    @property
    def product_weights(self) -> int:
        """That multiply every token: four matrices [H, H], [H, 4H] and back, a layer."""
        return 12 * self.hidden**2 * self.layers

    @property
    def flop(self) -> float:
        """Of one token, attention not counted."""
        return 2.0 * self.product_weights

    @property
    def tiny(self) -> "Shape":
        """Of the same name, for a CPU that plays a GPU."""
        return replace(self, hidden=128, layers=2, heads=2)


# The most important first: a call may end before all are measured.
SHAPES = (
    Shape("base", 768, 12, 12),
    Shape("large", 1024, 24, 16),
    Shape("minilm", 384, 6, 12),
)

SERVED = ("base", "minilm")  # by Triton and gateway, too

PACKED = "packed"  # PackedMultiHeadAttention, as served
STANDARD = "standard"  # Attention of opset 24, which a CPU runs too
PADDED = "padded"  # a graph of (N, S) ids and a mask, as others export it
FORMS = (PACKED, STANDARD)


@dataclass(frozen=True, slots=True)
class Mix:
    """Lengths of texts: all of `mean` tokens, or log-normal about it."""

    mean: int
    sigma: float = 0.0

    @property
    def name(self) -> str:
        return f"mixed {self.mean}" if self.sigma else str(self.mean)

    def draw(self, texts: int, rng: np.random.Generator) -> Lengths:
        """(N,)"""
        if not self.sigma:
            return np.full(texts, self.mean, dtype=np.int32)
        drawn = rng.lognormal(np.log(self.mean) - self.sigma**2 / 2, self.sigma, texts)
        return np.clip(np.round(drawn), FEWEST, LONGEST).astype(np.int32)


MIXES = (Mix(128), Mix(128, sigma=0.7), Mix(50), Mix(512))
MIXED = MIXES[1]


def ids_of(shape: Shape, seq_lens: Lengths, rng: np.random.Generator) -> Ids:
    """Words at random: (T,)"""
    return rng.integers(SPECIAL, shape.vocabulary, int(seq_lens.sum()))


def micro_batches(shape: Shape, mix: Mix, tokens: int, count: int) -> list[MicroBatch]:
    """Full ones, of short texts and of long ones, texts of like length together."""
    rng = np.random.default_rng(0)
    waiting = np.sort(mix.draw(WAITING * count * max(tokens // mix.mean, 1), rng))[::-1]
    filled = []
    while len(waiting):
        texts = max(int(np.searchsorted(np.cumsum(waiting), tokens, side="right")), 1)
        filled.append(waiting[:texts])
        waiting = waiting[texts:]
    full = filled[:-1] or filled
    chosen = [full[place] for place in np.linspace(0, len(full) - 1, count).astype(int)]
    return [(ids_of(shape, seq_lens, rng), seq_lens) for seq_lens in chosen]


def arrivals(shape: Shape, mix: Mix, texts: int) -> list[Ids]:
    """The ids of each text, in the order in which nobody sorted them."""
    rng = np.random.default_rng(1)
    seq_lens = mix.draw(texts, rng)
    return np.split(ids_of(shape, seq_lens, rng), np.cumsum(seq_lens)[:-1])


def graph_of(graphs: Path, shape: Shape, form: str) -> Path:
    """Its file; the weights are beside it once they are filled in."""
    return graphs / shape.name / form / "model.onnx"


def repository_of(graphs: Path, shape: Shape, target: str) -> Path:
    """A model repository that serves it on a target."""
    return graphs / "repositories" / f"{shape.name}-{target}"
