"""What an exported encoder's graph costs: its products, its nodes, its time by operator."""

import json
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.steps.inference import SLOWER_WHEN_FUSED, Feeder

GEMM_ROWS = 512  # tokens of a micro-batch
GEMM_REPEATS = 8
SHORT_BRANCH = "else_branch"  # of attention, on the whole grid; the other is for long texts
HOLDERS = {"If", "Scan"}  # their time is that of the operators in them
SMALL_SHARE = 0.01  # operators below it stand together


def linear_flops_per_token(path: Path) -> float:
    """Twice the weights of every product with a constant matrix, which all tokens go through."""
    return sum(2.0 * rows * columns for rows, columns in _product_weights(path))


def hidden_size(path: Path) -> int:
    """H: the largest matrices are [H, 4H] or its like, and back."""
    return min(max(_product_weights(path), key=math.prod))


def _product_weights(path: Path) -> list[tuple[int, int]]:
    graph = onnx.load(path, load_external_data=False).graph
    shapes: dict[str, tuple[int, ...]] = {w.name: tuple(w.dims) for w in graph.initializer}
    for node in graph.node:  # int8 weights stand behind such nodes
        if node.op_type in ("DequantizeLinear", "Transpose", "Cast") and node.input[0] in shapes:
            shapes[node.output[0]] = shapes[node.input[0]]
    return [
        (shapes[name][0], shapes[name][1])
        for node in graph.node
        if "MatMul" in node.op_type or "Gemm" in node.op_type
        for name in node.input
        if len(shapes.get(name, ())) == 2
    ]


def optimized_nodes(path: Path) -> int:
    """Nodes that a short text goes through when onnxruntime has opened the graph."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # says that the file is of this machine only
        options.optimized_model_filepath = f"{folder}/model.onnx"
        _open(path, options)
        graph = onnx.load(f"{folder}/model.onnx", load_external_data=False).graph
    branches = [x.g for node in graph.node for x in node.attribute if x.name == SHORT_BRANCH]
    return sum(len(each.node) for each in (graph, *branches))


def shares_by_operator(
    path: Path, batches: Sequence[tuple[NDArray[np.int64], NDArray[np.int32]]]
) -> tuple[tuple[str, float], ...]:
    """Time of each operator type as a share of all kernels, the largest first; on one thread.

    batches  micro-batches: (T,) token ids and (N,) lengths
    """
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.enable_profiling = True
        options.profile_file_prefix = f"{folder}/profile"
        session = _open(path, options)
        feeder = Feeder(session)
        for batch in batches:
            session.run(["EMBEDDING"], feeder.feeds(*batch))
        events = json.loads(Path(session.end_profiling()).read_bytes())
    spent: Counter[str] = Counter()
    for event in events:
        operator = event.get("args", {}).get("op_name")
        if event.get("name", "").endswith("_kernel_time") and operator not in HOLDERS:
            spent[operator] += event["dur"]
    total = spent.total()
    large = [(name, time / total) for name, time in spent.most_common()]
    shown = [(name, share) for name, share in large if share >= SMALL_SHARE]
    return (*shown, ("others", 1 - sum(share for _, share in shown)))


def open_gemm(hidden: int, threads: int) -> Callable[[], float]:
    """A function that multiplies [512, H] by [H, 4H] and by [4H, H]; returns its operations."""
    rng = np.random.default_rng(0)
    weights = [
        rng.standard_normal((hidden, 4 * hidden), dtype=np.float32),
        rng.standard_normal((4 * hidden, hidden), dtype=np.float32) / 100,
    ]
    names = ["X", *(f"Y{index}" for index in range(2 * GEMM_REPEATS))]
    nodes = [
        helper.make_node("MatMul", [names[index], f"W{index % 2}"], [names[index + 1]])
        for index in range(2 * GEMM_REPEATS)
    ]
    shape = [GEMM_ROWS, hidden]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "gemm",
            [helper.make_tensor_value_info("X", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(matrix, f"W{i}") for i, matrix in enumerate(weights)],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    states = rng.standard_normal(shape, dtype=np.float32)

    def gemm() -> float:
        session.run(None, {"X": states})
        return 2.0 * GEMM_REPEATS * 2 * GEMM_ROWS * hidden * 4 * hidden

    return gemm


def _open(path: Path, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """The encoder's session as the service opens it, but for what is asked of it here."""
    return onnxruntime.InferenceSession(
        path,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=SLOWER_WHEN_FUSED,
    )
