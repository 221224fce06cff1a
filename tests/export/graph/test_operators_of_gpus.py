"""Norms and rotary embeddings become one operator each, and what only looks like them stays."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray

from export.graph.blocks import subgraph
from export.graph.inputs import FLOAT, op
from export.graph.norms import use_norms
from export.graph.rotary import use_rotary

HEADS, SIZE, TOKENS = 2, 8, 5
FLOAT16 = ir.DataType.FLOAT16
TOLERANCES = {ir.DataType.FLOAT: 1e-6, FLOAT16: 4e-3}
every_type = pytest.mark.parametrize("dtype", TOLERANCES, ids=lambda dtype: dtype.name)


def graph_of(render: Callable[..., Any], dtype: ir.DataType, *shapes: list[int]) -> ir.Model:
    """Of one function of states; constants of it are initializers, as torch's are."""
    inputs = [
        ir.Value(name=f"input.{number}", type=ir.TensorType(dtype), shape=ir.Shape(shape))
        for number, shape in enumerate(shapes)
    ]

    def handed_on(*states: Any) -> Any:
        return op.Identity(render(*states))

    graph = subgraph(handed_on, inputs)
    graph.opset_imports[""] = 24
    graph.outputs[0].type = ir.TensorType(dtype)
    ir.passes.common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(
        model := ir.Model(graph, ir_version=10)
    )
    inferred: ir.Model = ir.passes.common.ShapeInferencePass()(model).model
    return inferred


def run(model: ir.Model) -> NDArray[np.float32]:
    content = ir.to_proto(model).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(seed=0)
    feeds = {
        value.name: rng.standard_normal(value.shape.numpy()).astype(value.dtype.numpy())
        for value in model.graph.inputs
        if value.name and value.shape and value.dtype
    }
    result: NDArray[Any] = session.run(None, feeds)[0]
    return result.astype(np.float32)


def kinds(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph if node.op_type != "Identity")


def exchanged(model: ir.Model, use: Callable[[ir.Model], None], dtype: ir.DataType) -> Counter[str]:
    """The operators after an exchange, which gives what was given before."""
    before = run(model)

    use(model)

    np.testing.assert_allclose(run(model), before, atol=TOLERANCES[dtype])
    return kinds(model)


def norm(
    dtype: ir.DataType, axis: int = -1, power: float = 2.0, late: bool = False
) -> Callable[[Any], Any]:
    """As transformers writes it; `late` as Gemma, which scales before it rounds."""
    scale = np.linspace(0.5, 2, SIZE, dtype=np.float32)

    def scaled(states: Any) -> Any:
        wide = op.Cast(states, to=FLOAT) if dtype == FLOAT16 else states
        mean = op.ReduceMean(op.Pow(wide, power), op.Constant(value_ints=[axis]))
        normed = op.Mul(wide, op.Reciprocal(op.Sqrt(op.Add(mean, 1e-5))))
        if dtype == FLOAT16 and not late:
            normed = op.Cast(normed, to=dtype)
        weights = scale if late else scale.astype(dtype.numpy())
        result = op.Mul(op.Constant(value=ir.to_proto(ir.tensor(weights))), normed)
        return op.Cast(result, to=dtype) if dtype == FLOAT16 and late else result

    return scaled


@every_type
@pytest.mark.parametrize("late", [False, True], ids=["rounded, scaled", "scaled, rounded"])
def test_a_norm_is_one_operator(dtype: ir.DataType, late: bool) -> None:
    model = graph_of(norm(dtype, late=late), dtype, [TOKENS, SIZE])

    assert {"RMSNormalization": 1} == exchanged(model, use_norms, dtype)


@pytest.mark.parametrize("options", [{"axis": 0}, {"power": 3.0}], ids=["of columns", "of cubes"])
def test_what_only_looks_like_a_norm_stays(options: dict[str, Any]) -> None:
    dtype = ir.DataType.FLOAT
    model = graph_of(norm(dtype, **options), dtype, [TOKENS, SIZE])

    assert "RMSNormalization" not in exchanged(model, use_norms, dtype)


def rotary(dtype: ir.DataType, twice: bool = True, wide: bool = False) -> Callable[..., Any]:
    """As transformers writes it.

    twice  whether both halves have the same angles
    wide   as ModernBERT, which does it in float32
    """

    def rotated(states: Any, angles: Any) -> Any:
        heads = op.Transpose(op.Reshape(states, [1, -1, HEADS, SIZE]), perm=[0, 2, 1, 3])
        other = angles if twice else op.Mul(angles, 2.0)
        whole = op.Concat(angles, other, axis=-1)
        to = FLOAT if wide else dtype
        cos, sin = (op.Unsqueeze(op.Cast(f(whole), to=dtype), [1]) for f in (op.Cos, op.Sin))
        x = op.Cast(heads, to=FLOAT) if wide else heads
        if wide:
            cos, sin = op.Cast(cos, to=to), op.Cast(sin, to=to)
        half, axis = [SIZE // 2], [3]
        first = op.Slice(x, [0], half, axis, [1])
        last = op.Slice(x, half, [2**62], axis, [1])
        turned = op.Concat(op.Neg(last), first, axis=-1)
        total = op.Add(op.Mul(x, cos), op.Mul(turned, sin))
        narrow = op.Cast(total, to=dtype) if wide else total
        return op.Reshape(op.Transpose(narrow, perm=[0, 2, 1, 3]), [1, -1, HEADS * SIZE])

    return rotated


SHAPES = ([1, TOKENS, HEADS * SIZE], [1, TOKENS, SIZE // 2])


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [(ir.DataType.FLOAT, False), (FLOAT16, False), (FLOAT16, True)],
    ids=["in float32", "in halves", "of halves, in float32"],
)
def test_a_rotary_embedding_is_one_operator(dtype: ir.DataType, wide: bool) -> None:
    model = graph_of(rotary(dtype, wide=wide), dtype, *SHAPES)

    found = exchanged(model, use_rotary, dtype)

    assert 1 == found["RotaryEmbedding"]
    assert not found["Neg"] + found["Sub"]


def test_angles_that_differ_between_the_halves_stay() -> None:
    dtype = ir.DataType.FLOAT
    model = graph_of(rotary(dtype, twice=False), dtype, *SHAPES)

    assert "RotaryEmbedding" not in exchanged(model, use_rotary, dtype)
