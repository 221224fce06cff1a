"""One part in a process of its own: `python -m load_tests.gpu.part JSON`, as `__main__` asks."""

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load_tests.gpu.rows import Context, Rows, TimeIsOver
from load_tests.gpu.run import Run, versions
from load_tests.gpu.shapes import SHAPES

TIME_IS_OVER = 75  # exit status: call again


@dataclass(frozen=True, slots=True)
class Part:
    """A function of a module.

    on_cuda  by onnxruntime's CUDA provider, in whose environment it runs; else by torch
    """

    name: str
    function: str = "measure"
    module: str = ""
    on_cuda: bool = True


# In this order: a machine has one cold start, and the roof is of the same call as the rest.
PARTS = {
    part.name: part
    for part in (
        Part("load", "measure_load", "memory"),
        Part("roof", on_cuda=False),
        Part("numerics"),
        Part("engine"),
        Part("one-text", "measure_one_text", "engine"),
        Part("queries"),
        Part("memory", "measure_memory"),
        Part("peers", module="onnx_peers"),
        Part("torch-peers", module="torch_peers", on_cuda=False),
        Part("service"),
    )
}


@dataclass(frozen=True, slots=True)
class Order:
    """What a part's process is told."""

    part: str
    rows: str
    graphs: str
    deadline: float
    again: bool
    tiny: bool  # shapes under the same names
    shapes: list[str]
    context: dict[str, Any]


def measure(order: Order) -> int:
    context = Context(**{**order.context, "versions": versions()})
    rows = Rows(Path(order.rows), context, order.deadline, order.again)
    chosen = [shape for shape in SHAPES if shape.name in order.shapes]
    shapes = tuple(shape.tiny if order.tiny else shape for shape in chosen)
    part = PARTS[order.part]
    module = importlib.import_module(f"load_tests.gpu.{part.module or part.name}")
    function: Callable[[Run], None] = getattr(module, part.function)
    try:
        function(Run(rows, shapes, Path(order.graphs), context.fake))
    except TimeIsOver:
        return TIME_IS_OVER
    return 0


if __name__ == "__main__":
    sys.exit(measure(Order(**json.loads(sys.argv[1]))))
