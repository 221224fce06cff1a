"""Which operators a GPU has kernels for, so that an export says what a load would."""

import onnx_ir as ir

# With kernels in onnxruntime's CUDA provider for what graphs are made of here, without cuDNN, which
# ReduceMax and its like ask for. `tests/fake_cuda` runs them.
ON_CUDA = frozenset((
    "Abs", "Add", "Attention", "Cast", "CastLike", "Clip", "Concat", "Constant", "Cos", "Div",
    "Expand", "Gather", "GatherND", "Gelu", "Gemm", "LayerNormalization", "Less", "MatMul", "Max",
    "Min", "Mul", "Neg", "Pow", "RMSNormalization", "Reciprocal", "ReduceMean", "Relu", "Reshape",
    "RotaryEmbedding", "Shape", "Sigmoid", "Sin", "Slice", "Split", "Sqrt", "Squeeze", "Sub",
    "Tanh", "TopK", "Transpose", "Unsqueeze", "Where",
))  # fmt: skip


def without_kernel(model: ir.Model) -> list[str]:
    """Operators of a graph that a GPU cannot run, each once."""
    return sorted({node.op_type for node in model.graph.all_nodes()} - ON_CUDA)
