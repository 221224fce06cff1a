"""The packed operators in plain ONNX operators, which `torch.onnx.export` puts in their place."""

from collections.abc import Callable
from typing import Any

from export.graph import packed
from export.graph.blocks import (
    MASKED,
    Scores,
    places_in_table,
    render_in_blocks,
    rows_of_tokens,
    subgraph,
)
from export.graph.grid import Heads, numbers
from export.graph.inputs import FLOAT, fed, op


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
    """`packed::attention`: on the whole grid, or in blocks where a text is longer than one.

    Both give the same bytes; the grid of a long text would not fit memory, nor short ones pay for
    a loop.
    """
    heads = Heads(query.shape[2] // size, key.shape[2] // size, size)
    rows = op.Reshape(op.Concat(query, key, value, axis=2), [-1, size])
    # Computed before the branch and once for all layers, therefore fed with no cells if in blocks.
    cells = fed("GRID_TOKENS", seq_lens)
    rows_of_cells = [
        _rows_of_cells(cells, heads, x) for x in (heads.queries, heads.keys, heads.values)
    ]
    places = rows_of_tokens(seq_lens, cells, heads)
    steps = fed("GRID_STEPS", seq_lens)
    bias = _bias(steps, fed("LENGTHS", seq_lens), causal, window)
    if table is not None:
        of_pairs = places_in_table(table, op.Unsqueeze(steps, [1]), steps)
        bias = op.Add(op.Unsqueeze(op.Gather(table, of_pairs, axis=1), [0]), bias)
    form = Scores(scaling, causal, window, softcap)

    def whole() -> Any:
        q, k, v = (op.Gather(rows, found) for found in rows_of_cells)  # (N, heads, S, size)
        products = op.MatMul(q, op.Transpose(k, perm=[0, 1, 3, 2]))  # (N, heads, S, S)
        biased = op.Add(form.of(products), bias)
        mixed = op.MatMul(op.Softmax(biased, axis=-1), v)  # (N, heads, S, size)
        return op.Gather(op.Reshape(mixed, [-1, size]), places)

    def cut() -> Any:
        return render_in_blocks(rows, seq_lens, heads, form, table)

    attended = op.If(
        fed("IS_LONG", seq_lens), then_branch=subgraph(cut), else_branch=subgraph(whole)
    )
    return op.Reshape(attended, [1, -1, heads.count * size])  # from (T, heads, size)


def _rows_of_cells(cells: Any, heads: Heads, of_heads: list[int]) -> Any:
    """The rows that hold each head of each cell: (N, heads, S).

    One row holds one head of one token, so that a single gather both pads and brings the heads to
    the front, and one gather undoes both: nothing is transposed. A text comes whole before the
    next, because its rows stay in a core's cache meanwhile.
    """
    first_rows = op.Unsqueeze(op.Mul(cells, numbers([heads.rows])), [1])  # (N, 1, S)
    return op.Add(first_rows, numbers(of_heads, heads.count, 1))


def _bias(steps: Any, lengths: Any, causal: bool, window: int) -> Any:
    """What is added to the scores: 0 where a token may be seen, MASKED elsewhere."""
    seen = op.Less(steps, op.Unsqueeze(lengths, [1]))  # (N, S)
    seen = op.Unsqueeze(seen, [1, 2])  # (N, 1, 1, S)
    if causal or window:
        distance = op.Sub(op.Unsqueeze(steps, [1]), steps)  # (S, S), i - j
        if causal:
            seen = op.And(seen, op.GreaterOrEqual(distance, 0))
        if window:
            seen = op.And(seen, op.Less(op.Abs(distance), window))
    return op.Where(seen, 0.0, MASKED)


def render_positions(input_ids: Any, seq_lens: Any, padding: int) -> Any:
    """`packed::positions`; the layout is told of the padding."""
    return fed("POSITIONS", seq_lens)


def render_pool(token_embeddings: Any, seq_lens: Any, mode: str) -> Any:
    """`packed::pool`: sums in float32, whatever the states are in."""
    if mode in ("cls", "lasttoken"):
        token = fed("FIRST_TOKENS" if mode == "cls" else "LAST_TOKENS", seq_lens)
        return op.Cast(op.Gather(token_embeddings, token), to=FLOAT)
    cells = op.Cast(op.Gather(token_embeddings, fed("TOKEN_OF_CELL", seq_lens)), to=FLOAT)
    if mode == "max":
        return op.ReduceMax(cells, [1], keepdims=0)  # padding repeats the text's first token
    weights = fed(mode.upper(), seq_lens)  # (N, 1, S)
    return op.Squeeze(op.MatMul(weights, cells), [1])  # (N, H)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    packed.OPERATORS.attention.default: render_attention,
    packed.OPERATORS.positions.default: render_positions,
    packed.OPERATORS.pool.default: render_pool,
}
