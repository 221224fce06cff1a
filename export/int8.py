"""Weights in int8, activations quantized token by token.

Each token's activations have a scale of their own, so what one text gives does not depend on its
neighbours; each column of the weights has one too. Integers are multiplied exactly.

    x (T, K) ──/ smoothing──▶ |x|, max ──▶ scale (T,) ──QuantizeLinear──▶ uint8 around 128
                                  └───────────── * ◀──MatMulIntegerToFloat(int8 weights)

Smoothing moves the few large channels of the activations into the weights, which have room.
Products that narrow (K > N, after an activation function) stay float32: their inputs have long
tails, and they cost more recall than all others together.

Sources: Xiao et al. 2023, SmoothQuant, section 4; the figures are in docs/decisions/0008.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from export.fusion import clean, initializer

LEVELS = 127  # of a sign: -127 to 127 around 128 in uint8
ZERO_POINT = 128
SMALLEST = 1e-12  # a token of zeros stays zero
SMOOTHING = 0.6  # 0 leaves large channels to the activations, 1 to the weights
CONTRIB = "com.microsoft"

Channels = Mapping[str, NDArray[np.float32]]  # name of the weights → (K,) largest |x| seen


@dataclass(frozen=True, slots=True)
class QuantizedWeights:
    """weights ≈ values * scales: (K, N) int8 and (N,) float32."""

    values: NDArray[np.int8]
    scales: NDArray[np.float32]


def quantize_weights(weights: NDArray[np.float32]) -> QuantizedWeights:
    """Symmetric int8, one scale a column: (K, N) float32 → (K, N) int8, (N,) float32."""
    scales = np.maximum(np.abs(weights).max(axis=0) / LEVELS, SMALLEST)
    values = np.round(weights / scales).astype(np.int8)
    return QuantizedWeights(values, scales.astype(np.float32))


def smoothing(largest: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """By what each channel of the activations is divided, and its weights multiplied: (K,).

    largest  (K,) largest |x| of each channel
    weights  (K, N)
    """
    rows = np.maximum(np.abs(weights).max(axis=1), SMALLEST)
    factors = np.maximum(largest, SMALLEST) ** SMOOTHING / rows ** (1 - SMOOTHING)
    return (factors / np.median(factors)).astype(np.float32)


def linears(model: ir.Model) -> list[ir.Node]:
    """The products with constant weights that are quantized."""
    return [node for node in model.graph if _is_quantized(node)]


def _is_quantized(node: ir.Node) -> bool:
    if node.op_type != "MatMul" or node.inputs[1] is None or node.inputs[1].const_value is None:
        return False
    shape = node.inputs[1].const_value.numpy().shape
    return len(shape) == 2 and shape[0] <= shape[1]


def quantize_linears(model: ir.Model, largest: Channels) -> None:
    """Replace the products by integer ones, in place.

    largest  of every product in `linears(model)`, from export/calibration.py
    """
    model.opset_imports[CONTRIB] = 1
    for node in linears(model):
        states, weights = node.inputs
        assert states is not None
        assert weights is not None
        assert weights.name is not None
        assert weights.const_value is not None
        values = weights.const_value.numpy()
        factors = smoothing(largest[weights.name], values)
        product = _Product(model.graph, weights.name, node)
        result = product.render(states, factors, quantize_weights(values * factors[:, None]))
        ir.convenience.replace_all_uses_with(node.outputs[0], result)
        model.graph.remove(node, safe=True)
    clean(model)


class _Product:
    """Writes the nodes that take the place of one product."""

    def __init__(self, graph: ir.Graph, name: str, place: ir.Node) -> None:
        self._graph = graph
        self._name = name
        self._place = place

    def render(
        self, states: ir.Value, factors: NDArray[np.float32], weights: QuantizedWeights
    ) -> ir.Value:
        """states (T, K) → (T, N), both float32; a batch of one in front is kept."""
        smooth = self._node("Mul", states, self._float("smoothing", 1 / factors))
        scale = self._scale(smooth)  # (T, 1)
        rows = self._node("Reshape", scale, self._constant("flat", np.array([-1])))  # (T,)
        zero = self._constant("zero", np.array(ZERO_POINT, dtype=np.uint8))
        zeros = self._node("Expand", zero, self._node("Shape", rows))
        quantized = self._node("QuantizeLinear", smooth, rows, zeros, axis=-2)
        total = self._node(
            "MatMulIntegerToFloat",
            quantized,
            self._constant("int8", weights.values),
            self._float("one", np.array(1)),
            self._float("scales", weights.scales),
            zero,
            domain=CONTRIB,
        )
        return self._node("Mul", total, scale)

    def _scale(self, states: ir.Value) -> ir.Value:
        last = self._constant("last", np.array([-1]))
        largest = self._node("ReduceMax", self._node("Abs", states), last, keepdims=1)
        scale = self._node("Mul", largest, self._float("level", np.array(1 / LEVELS)))
        return self._node("Max", scale, self._float("smallest", np.array(SMALLEST)))

    def _node(self, kind: str, *inputs: ir.Value, domain: str = "", **attributes: int) -> ir.Value:
        node = ir.node(kind, inputs, domain=domain, attributes=attributes)
        self._graph.insert_before(self._place, node)
        return node.outputs[0]

    def _float(self, name: str, array: NDArray[Any]) -> ir.Value:
        return self._constant(name, array.astype(np.float32))

    def _constant(self, name: str, array: NDArray[np.generic]) -> ir.Value:
        return initializer(self._graph, f"{self._name}.{name}", array)
