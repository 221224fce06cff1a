"""Where the tokens of packed texts lie in a padded grid (N, S), as ONNX values.

Only attention and mean pooling see the grid, gathered from the flat sequence and scattered back.
"""

from dataclasses import dataclass
from typing import Any

import onnx
import onnxscript

FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
op: Any = onnxscript.opset20  # its annotations forbid what its tracer accepts: plain numbers
# onnxruntime sums four terms at a time and the rest one by one. With S a multiple of four no text
# meets the rest, and its bits are the same whatever its neighbours: 300 of 300 texts, else 251.
SUM_STEP = 4


class Cells:
    """Cells (N, S) of a grid of some width S, one row a text: which are tokens, and of which text.

    Built anew by each operator; common subexpressions are removed from the finished graph.
    """

    def __init__(self, lengths: Any, starts: Any, width: Any) -> None:
        """lengths, starts (N,): tokens of each text, and its first; width: a scalar."""
        self.steps = op.Range(0, width, 1)  # (S,)
        self.real = op.Less(self.steps, op.Unsqueeze(lengths, [1]))  # (N, S), else padding
        first = op.Unsqueeze(starts, [1])  # (N, 1)
        # Padding reads its own text's first token, so that a NaN stays within its text.
        self.token_of_cell = op.Where(self.real, op.Add(first, self.steps), first)  # (N, S)


class Grid:
    """The grid as wide as the longest text, and where each token lies in it."""

    def __init__(self, seq_lens: Any) -> None:
        self.lengths = op.Cast(seq_lens, to=INT64)  # (N,)
        self.starts = op.CumSum(self.lengths, 0, exclusive=1)  # (N,)
        self.width = round_up(op.ReduceMax(self.lengths, keepdims=0), SUM_STEP)  # S
        self.cells = Cells(self.lengths, self.starts, self.width)
        flat = op.NonZero(op.Reshape(self.cells.real, [-1]))
        self.cell_of_token = op.Squeeze(flat, [0])  # (T,)
        self.position_of_token = op.Mod(self.cell_of_token, self.width)  # (T,)


def round_up(value: Any, step: int) -> Any:
    """The next multiple of a step."""
    return op.Mul(op.Div(op.Add(value, step - 1), step), step)


@dataclass(frozen=True, slots=True)
class Heads:
    """How a token's queries, keys and values lie in `rows`: one row a head, the queries first.

    count   heads of the query
    shared  heads of key and value, each for count / shared of the query's
    size    of one head
    """

    count: int
    shared: int
    size: int

    @property
    def rows(self) -> int:
        """Rows of one token."""
        return self.count + 2 * self.shared

    @property
    def queries(self) -> list[int]:
        """Of each head, the number of its query among a token's rows."""
        return list(range(self.count))

    @property
    def keys(self) -> list[int]:
        """Of each head, the number of its key; its value lies `shared` rows further."""
        group = self.count // self.shared
        return [self.count + head // group for head in range(self.count)]

    @property
    def values(self) -> list[int]:
        """Of each head, the number of its value."""
        return [key + self.shared for key in self.keys]


def row_of(numbers: list[int]) -> Any:
    """Numbers of heads as a constant (1, heads)."""
    return op.Constant(value=onnx.helper.make_tensor("", INT64, [1, len(numbers)], numbers))
