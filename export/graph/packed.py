"""The attention seam: one flat sequence of tokens in which each text attends to itself alone.

transformers calls attention through a registry of functions. The function registered here is
the only place that knows where texts begin and end, so one seam serves every architecture, and
all linear layers run on (T, H) without padding.

Each operator has two forms: a plain one in torch, which is what tests compare with, and one of
ONNX operators, which `torch.onnx.export` puts in its place. Only attention and mean pooling see a
padded grid of (N, S), gathered from the flat sequence and scattered back.

Source: transformers `AttentionInterface`; the gather recipe is Triton issue 7777's open request.
"""

from collections.abc import Callable
from typing import Any

import onnx
import onnxscript
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

NAME = "packed"
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
op: Any = onnxscript.opset20  # its annotations forbid what its tracer accepts: plain numbers
# onnxruntime sums four terms at a time and the rest one by one. With S a multiple of four no text
# meets the rest, and its bits are the same whatever its neighbours: 300 of 300 texts, else 251.
SUM_STEP = 4
MASKED = -1e30  # exp() of it is 0 in float32, and adding a score to it cannot overflow


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


class _Grid:
    """The padded grid (N, S) over a flat sequence, as ONNX values.

    Built anew by each operator; common subexpressions are removed from the finished graph.
    """

    def __init__(self, seq_lens: Any) -> None:
        self.lengths = op.Cast(seq_lens, to=INT64)  # (N,)
        self.width = _round_up(op.ReduceMax(self.lengths, keepdims=0), SUM_STEP)  # S
        self.steps = op.Range(0, self.width, 1)  # (S,)
        self.real = op.Less(self.steps, op.Unsqueeze(self.lengths, [1]))  # (N, S), else padding
        self.starts = op.CumSum(self.lengths, 0, exclusive=1)  # (N,)
        first = op.Unsqueeze(self.starts, [1])  # (N, 1)
        # Padding reads its own text's first token, so that a NaN stays within its text.
        self.token_of_cell = op.Where(self.real, op.Add(first, self.steps), first)  # (N, S)
        flat = op.NonZero(op.Reshape(self.real, [-1]))
        self.cell_of_token = op.Squeeze(flat, [0])  # (T,)
        self.position_of_token = op.Mod(self.cell_of_token, self.width)  # (T,)


def _round_up(value: Any, step: int) -> Any:
    return op.Mul(op.Div(op.Add(value, step - 1), step), step)


def render_attention(
    query: Any,
    key: Any,
    value: Any,
    seq_lens: Any,
    size: int,
    scaling: float,
    causal: bool,
    window: int,
) -> Any:
    """`packed::attention` in plain ONNX operators, on the gathered grid.

    One row holds one head of one token, so that a single gather each both pads and brings the
    heads to the front, and one gather undoes both: nothing is transposed.
    """
    heads, shared = query.shape[2] // size, key.shape[2] // size
    grid = _Grid(seq_lens)
    rows = op.Reshape(op.Concat(query, key, value, axis=2), [-1, size])
    first_rows = op.Unsqueeze(op.Mul(grid.token_of_cell, heads + 2 * shared), [1])  # (N, 1, S)
    q, k, v = (
        op.Gather(rows, op.Add(first_rows, _head_column(numbers)))  # (N, heads, S, size)
        for numbers in _head_numbers(heads, shared)
    )
    scores = op.MatMul(q, op.Transpose(k, perm=[0, 1, 3, 2]))  # (N, heads, S, S)
    biased = op.Add(op.Mul(scores, scaling), _bias(grid, causal, window))
    mixed = op.MatMul(op.Softmax(biased, axis=-1), v)  # (N, heads, S, size)
    attended = op.Gather(op.Reshape(mixed, [-1, size]), _rows_of_tokens(grid, heads))
    return op.Reshape(attended, [1, -1, heads * size])  # from (T, heads, size)


def _head_numbers(heads: int, shared: int) -> tuple[list[int], ...]:
    """Of each of the query's heads: the number of its query, key and value among a token's rows."""
    groups = heads // shared  # query heads that share one key and value
    keys = [heads + head // groups for head in range(heads)]
    return list(range(heads)), keys, [key + shared for key in keys]


def _head_column(numbers: list[int]) -> Any:
    return op.Constant(value=onnx.helper.make_tensor("", INT64, [1, len(numbers), 1], numbers))


def _rows_of_tokens(grid: _Grid, heads: int) -> Any:
    """Where each head of each token lies in (N, heads, S) rows: (T, heads)."""
    # Row of text n, head h, position s: (n * heads + h) * S + s, and n * S + s is the cell.
    texts = op.Sub(grid.cell_of_token, grid.position_of_token)  # (T,), n * S
    first = op.Add(op.Mul(texts, heads), grid.position_of_token)
    return op.Add(op.Unsqueeze(first, [1]), op.Mul(op.Range(0, heads, 1), grid.width))


def _bias(grid: _Grid, causal: bool, window: int) -> Any:
    """What is added to the scores: 0 where a token may be seen, MASKED elsewhere."""
    seen = op.Unsqueeze(grid.real, [1, 2])  # (N, 1, 1, S)
    if causal or window:
        distance = op.Sub(op.Unsqueeze(grid.steps, [1]), grid.steps)  # (S, S), i - j
        if causal:
            seen = op.And(seen, op.GreaterOrEqual(distance, 0))
        if window:
            seen = op.And(seen, op.Less(op.Abs(distance), window))
    return op.Where(seen, 0.0, MASKED)


def render_positions(input_ids: Any, seq_lens: Any) -> Any:
    """`packed::positions` in plain ONNX operators."""
    return _Grid(seq_lens).position_of_token


def render_pool(token_embeddings: Any, seq_lens: Any, mode: str) -> Any:
    """`packed::pool` in plain ONNX operators."""
    grid = _Grid(seq_lens)
    if mode == "cls":
        return op.Gather(token_embeddings, grid.starts)
    if mode == "last_token":
        return op.Gather(token_embeddings, op.Sub(op.Add(grid.starts, grid.lengths), 1))
    # A product with ones and zeros adds token after token; ReduceSum adds in another order for
    # another S, and a text's bits would depend on its neighbours.
    cells = op.Gather(token_embeddings, grid.token_of_cell)  # (N, S, H)
    ones = op.Unsqueeze(op.Cast(grid.real, to=FLOAT), [1])  # (N, 1, S)
    sums = op.Squeeze(op.MatMul(ones, cells), [1])  # (N, H)
    return op.Div(sums, op.Cast(op.Unsqueeze(grid.lengths, [1]), to=FLOAT))


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.packed.attention.default: render_attention,
    torch.ops.packed.positions.default: render_positions,
    torch.ops.packed.pool.default: render_pool,
}
