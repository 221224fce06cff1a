"""The attention seam: one flat sequence of tokens in which each text attends to itself alone.

transformers calls attention through a registry of functions. The function registered here is
the only place that knows where texts begin and end, so one seam serves every architecture, and
all linear layers run on (T, H) without padding.

Each operator has two forms: the plain one here, which is what tests compare with, and one of ONNX
operators in `rendering`.

Source: transformers `AttentionInterface`; the gather recipe is Triton issue 7777's open request.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from export.errors import UnsupportedModel

NAME = "packed"


# What transformers hands on to every attention function and this one need not know: the masks are
# its own, nothing is dropped or cached, and only the vectors are asked for.
NOT_NEEDED = frozenset((
    "dropout", "position_ids", "token_type_ids", "use_cache", "past_key_values", "cache_position",
    "return_dict", "output_attentions", "output_hidden_states", "position_embeddings",
))  # fmt: skip


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
    softcap: float | None = None,
    position_bias: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention of packed texts, in the form transformers calls.

    query          (1, heads, T, size)
    key, value     (1, key/value heads, T, size), fewer heads than the query's allowed
    seq_lens       (N,) int32
    softcap        scores become softcap * tanh(score / softcap)
    position_bias  the table (heads, 2 R + 1) of `attention`, made by `export.graph.seams`
    returns        (1, T, heads, size), and no attention weights

    Raises: UnsupportedModel if the architecture asks for more than this.
    """
    asked = [
        name
        for name in others.keys() - NOT_NEEDED
        if others[name] is not None and others[name] is not False
    ]
    if position_bias is not None and position_bias.ndim != 2:
        asked.append("position_bias")
    if asked:
        raise UnsupportedModel(
            f"config.json: the attention of {type(module).__name__} asks for "
            f"{', '.join(sorted(asked))}, which is not served"
        )
    size = query.shape[-1]
    causal = getattr(module, "is_causal", False) if is_causal is None else is_causal
    attended = torch.ops.packed.attention(
        *(states.transpose(1, 2).flatten(2) for states in (query, key, value)),
        seq_lens,
        position_bias,
        size,
        size**-0.5 if scaling is None else scaling,
        causal,
        sliding_window or 0,
        softcap or 0.0,
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
    table: Tensor | None,
    size: int,
    scaling: float,
    causal: bool,
    window: int,
    softcap: float,
) -> Tensor:
    """Attention of each text to itself.

    query       (1, T, heads * size)
    key, value  (1, T, key/value heads * size)
    seq_lens    (N,) int32
    table       (heads, 2 R + 1), added to the scores of query i and key j at j - i + R; what is
                further away than R has the bias of R
    size        of one head
    window      tokens at distance |i - j| < window are seen; 0 for all
    softcap     bound of the scores, before the table and the mask; 0 for none
    returns     (1, T, heads * size)
    """
    texts = (x[0].unflatten(1, (-1, size)).split(seq_lens.tolist()) for x in (query, key, value))
    outputs = []
    for q, k, v in zip(*texts, strict=True):  # (S, heads, size)
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
        scores = torch.einsum("ihd,jhd->hij", q, k) * scaling
        if softcap:
            scores = (scores / softcap).tanh() * softcap
        if table is not None:
            scores = scores + _bias(table, len(q))
        scores = scores.masked_fill(~_visible(len(q), causal, window), -torch.inf)
        weights = scores.float().softmax(-1).to(v.dtype)
        outputs.append(torch.einsum("hij,jhd->ihd", weights, v).flatten(1))
    return torch.cat(outputs).unsqueeze(0)


def _visible(length: int, causal: bool, window: int) -> Tensor:
    """Which token sees which: (length, length) bool."""
    positions = torch.arange(length)
    distance = positions[:, None] - positions
    seen = distance >= 0 if causal else torch.ones_like(distance, dtype=torch.bool)
    return seen & (distance.abs() < window) if window else seen


def _bias(table: Tensor, length: int) -> Tensor:
    """(heads, 2 R + 1) → (heads, length, length)"""
    reach = table.shape[1] // 2
    positions = torch.arange(length)
    return table[:, (positions - positions[:, None]).clamp(-reach, reach) + reach]


@attention.register_fake
def _(query: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(query)


@torch.library.custom_op("packed::positions", mutates_args=())
def positions(input_ids: Tensor, seq_lens: Tensor, padding: int) -> Tensor:
    """Position of each token within its text, from 0: (T,) int64.

    padding  the token that a text may hold and that has position `padding` itself, the others
             being counted on from there, as the RoBERTa family does; -1 for none
    """
    texts = input_ids.split(seq_lens.tolist())
    if padding < 0:
        return torch.cat([torch.arange(len(text)) for text in texts])
    counted = [(text != padding).to(torch.int64) for text in texts]
    return torch.cat([mask.cumsum(0) * mask + padding for mask in counted])


@positions.register_fake
def _(input_ids: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(input_ids)


def _weighted_mean(text: Tensor) -> Tensor:
    """The n-th token counts n times: (S, H) → (H,)."""
    weights = torch.arange(1, len(text) + 1, dtype=torch.float32)
    return weights @ text / weights.sum()


# Of one text, (S, H) → (H,); the names are sentence-transformers'.
POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "cls": lambda text: text[0],
    "lasttoken": lambda text: text[-1],
    "mean": lambda text: text.mean(0),
    "mean_sqrt_len_tokens": lambda text: text.sum(0) / len(text) ** 0.5,
    "weightedmean": _weighted_mean,
    "max": lambda text: text.max(0).values,
}


@torch.library.custom_op("packed::pool", mutates_args=())
def pool(token_embeddings: Tensor, seq_lens: Tensor, mode: str) -> Tensor:
    """One vector a text.

    token_embeddings  (T, H)
    seq_lens          (N,) int32
    mode              a key of POOLINGS
    returns           (N, H) float32
    """
    texts = token_embeddings.float().split(seq_lens.tolist())
    return torch.stack([POOLINGS[mode](text) for text in texts])


@pool.register_fake
def _(token_embeddings: Tensor, seq_lens: Tensor, mode: str) -> Tensor:
    sizes = seq_lens.shape[0], token_embeddings.shape[1]
    return token_embeddings.new_empty(*sizes, dtype=torch.float32)


OPERATORS: Any = torch.ops.packed
