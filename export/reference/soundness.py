"""Whether a model that sentence-transformers has put together is one that can be served.

It reads more than it can run, and runs more than the packed graph has: modules in an order that no
text passes through, tensors of other shapes, numbers that are none.
"""

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Dropout,
    LayerNorm,
    Normalize,
    Pooling,
    StaticEmbedding,
    Transformer,
)

from export.errors import UnsupportedModel

VECTOR = "sentence_embedding"  # sentence-transformers' name of what an embedding is
OF_VECTORS = (Dense, Dropout, LayerNorm, Normalize)  # modules that work on one vector a text
SHOWN_NAMES = 3  # of tensors, in a sentence


def check_order(model: SentenceTransformer) -> None:
    """Raises: UnsupportedModel unless a transformer and its pooling, or a table, come first, and
    after them what makes one vector of another.
    """
    found: list[Any] = list(model)
    expected: list[type | tuple[type, ...]] = [(Transformer, StaticEmbedding)]
    if found and isinstance(found[0], Transformer):
        expected.append(Pooling)
    if len(found) < len(expected):
        raise UnsupportedModel("modules.json: a Transformer without a Pooling gives no embedding")
    expected += [OF_VECTORS] * (len(found) - len(expected))
    for place, (module, kinds) in enumerate(zip(found, expected, strict=True)):
        name = type(module).__name__.lstrip("_")
        if not isinstance(module, kinds):
            raise UnsupportedModel(f"modules.json: a {name} is not served as module {place}")
        read = getattr(module, "module_input_name", VECTOR)
        if read != VECTOR:
            raise UnsupportedModel(
                f"modules.json: the {name}, module {place}, reads {read!r}, which is not served"
            )


def check_shapes(mismatched: Iterable[tuple[str, Any, Any]]) -> None:
    """Raises: UnsupportedModel if transformers found tensors of other shapes.

    mismatched  name, shape in the file, shape by the configuration
    """
    found = sorted(
        f"{name} is {_shape(has)} for {_shape(needs)}" for name, has, needs in mismatched
    )
    if found:
        raise UnsupportedModel(
            f"config.json: its weights have other shapes than it says: {named(found)}"
        )


def _shape(sizes: Iterable[int]) -> str:
    return " x ".join(map(str, sizes)) or "a number"


def check_finite(model: SentenceTransformer) -> None:
    """Raises: UnsupportedModel if a weight is infinite or no number: so would be its vectors."""
    found = [
        name.removeprefix("0.model.")
        for name, weights in model.named_parameters()
        if not torch.isfinite(weights).all()
    ]
    if found:
        raise UnsupportedModel(f"the weights hold numbers that are not finite: {named(found)}")


def named(names: list[str]) -> str:
    """The first of them, and how many there are beside."""
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
