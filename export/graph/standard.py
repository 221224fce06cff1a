"""The packed operators for a GPU: the standard `Attention` of opset 24 on the gathered grid.

One kernel where `rendering` has a dozen, and onnxruntime's CPU provider runs it too, so what goes
to a GPU is what was verified on a machine without one.
"""

from collections.abc import Callable
from typing import Any

import onnxscript

from export.graph import packed
from export.graph.blocks import places_in_table
from export.graph.grid import Heads
from export.graph.inputs import FLOAT, fed, op
from export.graph.rendering import render_pool, render_positions

OPSET = 24
attention_op: Any = onnxscript.values.Opset("", OPSET).Attention
LEAST = -65504.0  # of float16


def render_attention(
    query: Any,
    key: Any,
    value: Any,
    seq_lens: Any,
    table: Any | None,
    size: int,
    scaling: float,
    causal: bool,
    window: int,
    softcap: float,
) -> Any:
    """`packed::attention`.

    Texts end with padding, which no token before it sees where attention is causal: the lengths
    are left out there, since they would move the diagonal to their end.
    """
    heads = Heads(query.shape[2] // size, key.shape[2] // size, size)
    cells = fed("TOKEN_OF_CELL", seq_lens)
    grids = [  # (N, S, heads * size)
        op.Gather(op.Reshape(states, [-1, count * size]), cells)
        for states, count in ((query, heads.count), (key, heads.shared), (value, heads.shared))
    ]
    attended = attention_op(
        *grids,
        _mask(query, seq_lens, table, window),
        None,
        None,
        None if causal else fed("LENGTHS", seq_lens),
        q_num_heads=heads.count,
        kv_num_heads=heads.shared,
        scale=float(scaling),
        is_causal=int(causal),
        softcap=float(softcap),
    )
    attended = attended[0] if isinstance(attended, list | tuple) else attended
    rows = op.Reshape(attended, [-1, heads.count * size])  # (N * S, …)
    return op.Unsqueeze(op.Gather(rows, fed("CELL_OF_TOKEN", seq_lens)), [0])


def _mask(query: Any, seq_lens: Any, table: Any | None, window: int) -> Any:
    """What is seen (S, S), or what is added to the scores (1, heads, S, S), or nothing of both."""
    if table is None and not window:
        return None
    steps = fed("STEPS", seq_lens)
    column = op.Unsqueeze(steps, [1])
    seen = op.Less(op.Abs(op.Sub(column, steps)), window) if window else None
    if table is None:
        return seen
    bias = op.Gather(table, places_in_table(table, column, steps), axis=1)  # (heads, S, S)
    if seen is not None:
        bias = op.Where(seen, bias, op.CastLike(LEAST, bias))
    return op.CastLike(op.Unsqueeze(bias, [0]), query)  # kernels want them in one type


def render_pooling(token_embeddings: Any, seq_lens: Any, mode: str) -> Any:
    """`packed::pool`; the largest of a column by sorting, as ReduceMax needs cuDNN."""
    if mode != "max":
        return render_pool(token_embeddings, seq_lens, mode)
    cells = op.Cast(op.Gather(token_embeddings, fed("TOKEN_OF_CELL", seq_lens)), to=FLOAT)
    largest = op.TopK(cells, op.Constant(value_ints=[1]), axis=1)[0]  # (N, 1, H)
    return op.Squeeze(largest, [1])


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    packed.OPERATORS.attention.default: render_attention,
    packed.OPERATORS.positions.default: render_positions,
    packed.OPERATORS.pool.default: render_pooling,
}
