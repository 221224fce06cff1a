"""A checkpoint in a precision of fewer bits, as torch itself would run it.

Every operator rounds what it gives, where a fused kernel rounds once: if this is near enough to
float32, so is what is served.
"""

import copy
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import nn


def rounded(model: SentenceTransformer, dtype: torch.dtype) -> SentenceTransformer:
    """A copy whose transformer has rounded weights; what comes after it stays in float32.

    Its buffers stay as they are: angles of rotary embeddings are numbers of float32 everywhere.
    """
    transformer: Any = model[0]
    weights = {id(each): _rounded(each, dtype) for each in transformer.parameters()}
    kept = {id(each): each for each in model.parameters() if id(each) not in weights}
    copied = copy.deepcopy(model, {**kept, **weights})  # never all in float32 twice
    first: Any = copied[0]
    first.register_forward_hook(_widen)
    return copied


def _rounded(parameter: nn.Parameter, dtype: torch.dtype) -> nn.Parameter:
    return nn.Parameter(parameter.detach().to(dtype), requires_grad=False)


def _widen(_: nn.Module, __: Any, features: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.float()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
        else value
        for name, value in features.items()
    }
