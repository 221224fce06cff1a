"""How heads lie in the rows of packed tokens, and the numbers that find them."""

from dataclasses import dataclass
from typing import Any

import onnx

from export.graph.inputs import op

INT32 = onnx.TensorProto.INT32


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


def numbers(values: list[int], *shape: int, dtype: int = INT32) -> Any:
    """A constant, one number a head."""
    return op.Constant(value=onnx.helper.make_tensor("", dtype, shape or [len(values)], values))


def round_up(value: Any, step: int) -> Any:
    """The next multiple of a step."""
    return op.Mul(op.Div(op.Add(value, step - 1), step), step)
