"""The attention seam: one flat sequence of tokens in which each text attends to itself alone.

transformers calls attention through a registry of functions. The function registered here is
the only place that knows where texts begin and end, so one seam serves every architecture, and
all linear layers run on (T, H) without padding.

Each operator has two forms: the plain one here, which is what tests compare with, and one of ONNX
operators in `rendering`.

Source: transformers `AttentionInterface`; the gather recipe is Triton issue 7777's open request.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

NAME = "packed"


def attend_packed(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    seq_lens: Tensor,
    scaling: float | None = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of packed texts, in the form transformers calls.

    query       (1, heads, T, size)
    key, value  (1, key/value heads, T, size), fewer heads than the query's allowed
    seq_lens    (N,) int32
    returns     (1, T, heads, size), and no attention weights
    """
    size = query.shape[-1]
    causal = getattr(module, "is_causal", False) if is_causal is None else is_causal
    attended = torch.ops.packed.attention(
        *(states.transpose(1, 2).flatten(2) for states in (query, key, value)),
        seq_lens,
        size,
        size**-0.5 if scaling is None else scaling,
        causal,
        sliding_window or 0,
    )
    return attended.unflatten(2, (-1, size)), None


def register() -> None:
    """Make `attn_implementation="packed"` known to transformers."""
    AttentionInterface.register(NAME, attend_packed)
    AttentionMaskInterface.register(NAME, lambda *args, **kwargs: None)


@torch.library.custom_op("packed::attention", mutates_args=())
def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    seq_lens: Tensor,
    size: int,
    scaling: float,
    causal: bool,
    window: int,
) -> Tensor:
    """Attention of each text to itself.

    query       (1, T, heads * size)
    key, value  (1, T, key/value heads * size)
    seq_lens    (N,) int32
    size        of one head
    window      tokens at distance |i - j| < window are seen; 0 for all
    returns     (1, T, heads * size)
    """
    texts = (x[0].unflatten(1, (-1, size)).split(seq_lens.tolist()) for x in (query, key, value))
    outputs = []
    for q, k, v in zip(*texts, strict=True):  # (S, heads, size)
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
        scores = torch.einsum("ihd,jhd->hij", q, k) * scaling
        scores = scores.masked_fill(~_visible(len(q), causal, window), -torch.inf)
        outputs.append(torch.einsum("hij,jhd->ihd", scores.softmax(-1), v).flatten(1))
    return torch.cat(outputs).unsqueeze(0)


def _visible(length: int, causal: bool, window: int) -> Tensor:
    """Which token sees which: (length, length) bool."""
    positions = torch.arange(length)
    distance = positions[:, None] - positions
    seen = distance >= 0 if causal else torch.ones_like(distance, dtype=torch.bool)
    return seen & (distance.abs() < window) if window else seen


@attention.register_fake
def _(query: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(query)


@torch.library.custom_op("packed::positions", mutates_args=())
def positions(input_ids: Tensor, seq_lens: Tensor) -> Tensor:
    """Position of each token within its text, from 0: (T,) int64."""
    return torch.cat([torch.arange(length) for length in seq_lens.tolist()])


@positions.register_fake
def _(input_ids: Tensor, seq_lens: Tensor) -> Tensor:
    return torch.empty_like(input_ids)


@torch.library.custom_op("packed::pool", mutates_args=())
def pool(token_embeddings: Tensor, seq_lens: Tensor, mode: str) -> Tensor:
    """One vector a text.

    token_embeddings  (T, H) float32
    seq_lens          (N,) int32
    mode              mean, cls (the first token) or last_token
    returns           (N, H) float32
    """
    texts = token_embeddings.split(seq_lens.tolist())
    choose = {"mean": lambda x: x.mean(0), "cls": lambda x: x[0], "last_token": lambda x: x[-1]}
    return torch.stack([choose[mode](text) for text in texts])


@pool.register_fake
def _(token_embeddings: Tensor, seq_lens: Tensor, mode: str) -> Tensor:
    return token_embeddings.new_empty(seq_lens.shape[0], token_embeddings.shape[1])


OPERATORS: Any = torch.ops.packed
