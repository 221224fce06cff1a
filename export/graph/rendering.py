"""The packed operators in plain ONNX operators, which `torch.onnx.export` puts in their place."""

from collections.abc import Callable
from typing import Any

from export.graph import packed
from export.graph.blocks import (
    BLOCK,
    MASKED,
    Scores,
    places_in_table,
    render_in_blocks,
    subgraph,
)
from export.graph.grid import FLOAT, INT64, Cells, Grid, Heads, op, row_of


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
    grid = Grid(seq_lens)
    rows = op.Reshape(op.Concat(query, key, value, axis=2), [-1, size])
    is_long = op.Greater(grid.width, BLOCK)
    # Computed before the branch and once for all layers, therefore of no cells if in blocks.
    cells = Cells(grid.lengths, grid.starts, op.Where(is_long, 0, grid.width))
    rows_of_cells = [
        _rows_of_cells(cells, heads, x) for x in (heads.queries, heads.keys, heads.values)
    ]
    bias, rows_of_tokens = _bias(cells, causal, window), _rows_of_tokens(grid, heads)
    if table is not None:
        places = places_in_table(table, op.Unsqueeze(cells.steps, [1]), cells.steps)
        bias = op.Add(op.Unsqueeze(op.Gather(table, places, axis=1), [0]), bias)
    form = Scores(scaling, causal, window, softcap)

    def whole() -> Any:
        q, k, v = (op.Gather(rows, places) for places in rows_of_cells)  # (N, heads, S, size)
        products = op.MatMul(q, op.Transpose(k, perm=[0, 1, 3, 2]))  # (N, heads, S, S)
        biased = op.Add(form.of(products), bias)
        mixed = op.MatMul(op.Softmax(biased, axis=-1), v)  # (N, heads, S, size)
        return op.Gather(op.Reshape(mixed, [-1, size]), rows_of_tokens)

    def cut() -> Any:
        return render_in_blocks(rows, grid, heads, form, table)

    attended = op.If(is_long, then_branch=subgraph(cut), else_branch=subgraph(whole))
    return op.Reshape(attended, [1, -1, heads.count * size])  # from (T, heads, size)


def _rows_of_cells(cells: Cells, heads: Heads, numbers: list[int]) -> Any:
    """The rows that hold each head of each cell: (N, heads, S).

    One row holds one head of one token, so that a single gather both pads and brings the heads to
    the front, and one gather undoes both: nothing is transposed.
    """
    first_rows = op.Unsqueeze(op.Mul(cells.token_of_cell, heads.rows), [1])  # (N, 1, S)
    return op.Add(first_rows, op.Unsqueeze(row_of(numbers), [2]))


def _rows_of_tokens(grid: Grid, heads: Heads) -> Any:
    """Where each head of each token lies in (N, heads, S) rows: (T, heads)."""
    # Row of text n, head h, position s: (n * heads + h) * S + s, and n * S + s is the cell.
    texts = op.Sub(grid.cell_of_token, grid.position_of_token)  # (T,), n * S
    first = op.Add(op.Mul(texts, heads.count), grid.position_of_token)
    return op.Add(op.Unsqueeze(first, [1]), op.Mul(op.Range(0, heads.count, 1), grid.width))


def _bias(cells: Cells, causal: bool, window: int) -> Any:
    """What is added to the scores: 0 where a token may be seen, MASKED elsewhere."""
    seen = op.Unsqueeze(cells.real, [1, 2])  # (N, 1, 1, S)
    if causal or window:
        distance = op.Sub(op.Unsqueeze(cells.steps, [1]), cells.steps)  # (S, S), i - j
        if causal:
            seen = op.And(seen, op.GreaterOrEqual(distance, 0))
        if window:
            seen = op.And(seen, op.Less(op.Abs(distance), window))
    return op.Where(seen, 0.0, MASKED)


def render_positions(input_ids: Any, seq_lens: Any, padding: int) -> Any:
    """`packed::positions`."""
    grid = Grid(seq_lens)
    if padding < 0:
        return grid.position_of_token
    counted = op.Cast(op.Not(op.Equal(input_ids, padding)), to=INT64)  # (T,)
    until = op.CumSum(counted, 0)  # over all texts, this token included
    first = op.Sub(op.Range(0, op.Size(until), 1), grid.position_of_token)  # of its text
    before = op.Sub(op.Gather(until, first), op.Gather(counted, first))
    return op.Add(op.Mul(op.Sub(until, before), counted), padding)


def render_pool(token_embeddings: Any, seq_lens: Any, mode: str) -> Any:
    """`packed::pool`."""
    grid = Grid(seq_lens)
    if mode == "cls":
        return op.Gather(token_embeddings, grid.starts)
    if mode == "lasttoken":
        return op.Gather(token_embeddings, op.Sub(op.Add(grid.starts, grid.lengths), 1))
    cells = op.Gather(token_embeddings, grid.cells.token_of_cell)  # (N, S, H)
    if mode == "max":
        return op.ReduceMax(cells, [1], keepdims=0)  # padding repeats the text's first token
    # A product with ones and zeros adds token after token; ReduceSum adds in another order for
    # another S, and a text's bits would depend on its neighbours.
    weights = op.Cast(grid.cells.real, to=FLOAT)  # (N, S)
    count = op.Cast(op.Unsqueeze(grid.lengths, [1]), to=FLOAT)  # (N, 1)
    if mode == "weightedmean":
        weights = op.Mul(weights, op.Cast(op.Add(grid.cells.steps, 1), to=FLOAT))
        count = op.Mul(count, op.Mul(op.Add(count, 1.0), 0.5))  # 1 + 2 + … + count
    elif mode == "mean_sqrt_len_tokens":
        count = op.Sqrt(count)
    sums = op.Squeeze(op.MatMul(op.Unsqueeze(weights, [1]), cells), [1])  # (N, H)
    return op.Div(sums, count)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    packed.OPERATORS.attention.default: render_attention,
    packed.OPERATORS.positions.default: render_positions,
    packed.OPERATORS.pool.default: render_pool,
}
