"""Weights in int8, activations rounded token by token.

Each token's activations have a scale of their own, so what one text gives does not depend on its
neighbours; each column of the weights has one too. Integers are multiplied exactly.

    x (T, K) ── * 1 / smoothing ──▶ min, max ──▶ scale (T, 1) ──QuantizeLinear──▶ uint8
                                      └────────── * ◀──MatMulIntegerToFloat(int8 weights)

Smoothing moves the few large channels of the activations into the weights, which have room. The
inputs of products that narrow (K > N, after an activation function) are not smoothed.
The zero point is a product's own: after an activation function hardly anything lies below zero.

Sources: Xiao et al. 2023, SmoothQuant, section 4; the figures are in docs/decisions/0008 and 0012.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from export.graph.fusion import clean, initializer

LEVELS = 127  # of the weights, of a sign: -127 to 127
STEPS = 255  # of the activations: uint8 from 0 to 255
LEAST_STEPS = 24  # on either side of zero
SMALLEST = 1e-12  # a token of zeros stays zero
SMOOTHING = 0.7  # 0 leaves large channels to the activations, 1 to the weights
DAMPING = 0.01  # of the mean of the Gram matrix's diagonal, as GPTQ has it
BLOCK = 128  # channels rounded before the rest is told: memory traffic, not results
CONTRIB = "com.microsoft"


@dataclass(frozen=True, slots=True)
class Activations:
    """What went into a product: (2, K) least and largest of each channel, (K, K) Gram matrix."""

    ranges: NDArray[np.float32]
    gram: NDArray[np.float32]

    def joined(self, other: "Activations") -> "Activations":
        """Of both."""
        least = np.minimum(self.ranges[0], other.ranges[0])
        largest = np.maximum(self.ranges[1], other.ranges[1])
        return Activations(np.stack([least, largest]), self.gram + other.gram)

    def divided(self, factors: NDArray[np.float32]) -> "Activations":
        """As if each channel had been divided by its factor (K,)."""
        return Activations(self.ranges / factors, self.gram / np.outer(factors, factors))


@dataclass(frozen=True, slots=True)
class Int8Weights:
    """weights ≈ values * scales: (K, N) int8 and (N,) float32."""

    values: NDArray[np.int8]
    scales: NDArray[np.float32]


def round_weights(
    weights: NDArray[np.float32], gram: NDArray[np.float32] | None = None
) -> Int8Weights:
    """Symmetric int8, one scale a column: (K, N) float32 → (K, N) int8, (N,) float32.

    gram  (K, K) of the activations: what the rounding of a channel loses is made up for by the
          smaller channels, as far as they go along with it; None rounds each for itself

    Source: Frantar et al. 2023, GPTQ, section 3.3.
    """
    scales = np.maximum(np.abs(weights).max(axis=0) / LEVELS, SMALLEST)
    together = np.eye(len(weights)) if gram is None else gram.astype(np.float64)
    order = np.argsort(-np.diag(together), kind="stable")  # what is large is rounded first
    damping = DAMPING * np.diag(together).mean() + SMALLEST
    together = together[np.ix_(order, order)] + damping * np.eye(len(weights))
    carry = np.linalg.cholesky(np.linalg.inv(together)).T  # (K, K) upper triangle
    left = weights[order].astype(np.float64)
    values = np.empty(weights.shape, dtype=np.int8)
    for start in range(0, len(weights), BLOCK):
        block = slice(start, start + BLOCK)
        values[order[block]], lost = _round_block(left[block], scales, carry[block, block])
        left[start + BLOCK :] -= carry[block, start + BLOCK :].T @ lost
    return Int8Weights(values, scales.astype(np.float32))


def _round_block(
    weights: NDArray[np.float64], scales: NDArray[np.float64], carry: NDArray[np.float64]
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """The integers of some channels (B, N), and what each of them hands on to those after it.

    weights  (B, N), changed in place
    carry    (B, B)
    """
    values, lost = np.empty(weights.shape, dtype=np.int8), np.empty_like(weights)
    for channel, row in enumerate(weights):
        values[channel] = np.clip(np.round(row / scales), -LEVELS, LEVELS)
        lost[channel] = (row - values[channel] * scales) / carry[channel, channel]
        weights[channel + 1 :] -= np.outer(carry[channel, channel + 1 :], lost[channel])
    return values, lost


def smoothing(largest: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """By what each channel of the activations is divided, and its weights multiplied: (K,).

    largest  (K,) largest |x| of each channel
    weights  (K, N)
    """
    rows = np.maximum(np.abs(weights).max(axis=1), SMALLEST)
    factors = np.maximum(largest, SMALLEST) ** SMOOTHING / rows ** (1 - SMOOTHING)
    return (factors / np.median(factors)).astype(np.float32)


def zero_point(ranges: NDArray[np.float32]) -> int:
    """The integer that stands for 0 where activations lie within these ranges.

    Never nearer to the end than LEAST_STEPS: most tokens stay far from the largest range, and
    those of small values would be as coarse as their few negative ones.

    ranges  (2, K) least and largest x of each channel, smoothed
    """
    least, largest = min(ranges[0].min(), 0.0), max(ranges[1].max(), SMALLEST)
    zero = round(float(STEPS * -least / (largest - least)))
    return min(max(zero, LEAST_STEPS), STEPS - LEAST_STEPS)


def linears(model: ir.Model) -> list[ir.Node]:
    """The products with constant weights that become int8: all but the first that narrows.

    What the first layer loses goes through all others: it alone costs 0.002 of recall@10.
    """
    shapes = {node: _weights_shape(node) for node in model.graph}
    narrowing = [node for node, shape in shapes.items() if len(shape) == 2 and shape[0] > shape[1]]
    return [node for node, shape in shapes.items() if len(shape) == 2 and node not in narrowing[:1]]


def _weights_shape(node: ir.Node) -> tuple[int, ...]:
    """(K, N) of a product with constant weights; () of every other node."""
    if node.op_type != "MatMul" or node.inputs[1] is None or node.inputs[1].const_value is None:
        return ()
    return node.inputs[1].const_value.numpy().shape


def use_int8(model: ir.Model, inputs: Mapping[str, Activations]) -> None:
    """Replace the products by integer ones, in place.

    inputs  of every product in `linears(model)`, by name of its weights: calibration.py
    """
    model.opset_imports[CONTRIB] = 1
    for node in linears(model):
        states, weights = node.inputs
        assert states is not None
        assert weights is not None
        assert weights.name is not None
        assert weights.const_value is not None
        values = weights.const_value.numpy()
        factors = np.ones(len(values), dtype=np.float32)
        if values.shape[0] <= values.shape[1]:
            factors = smoothing(np.abs(inputs[weights.name].ranges).max(axis=0), values)
        smoothed = inputs[weights.name].divided(factors)
        rounded = round_weights(values * factors[:, None], smoothed.gram)
        product = _Product(model.graph, weights.name, node)
        result = product.render(states, factors, zero_point(smoothed.ranges), rounded)
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
        self,
        states: ir.Value,
        factors: NDArray[np.float32],
        zero_point: int,
        weights: Int8Weights,
    ) -> ir.Value:
        """states (T, K) → (T, N), both float32; a batch of one in front is kept."""
        smooth = states
        if (factors != 1).any():
            smooth = self._node("Mul", states, self._float("smoothing", 1 / factors))
        scale = self._scale(smooth, zero_point)  # (T, 1)
        rows = self._node("Reshape", scale, self._constant("flat", np.array([-1])))  # (T,)
        zero = self._constant("zero", np.array(zero_point, dtype=np.uint8))
        zeros = self._node("Expand", zero, self._node("Shape", rows))
        integers = self._node("QuantizeLinear", smooth, rows, zeros, axis=-2)
        total = self._node(
            "MatMulIntegerToFloat",
            integers,
            self._constant("int8", weights.values),
            self._float("one", np.array(1)),
            self._float("scales", weights.scales),
            zero,
            domain=CONTRIB,
        )
        return self._node("Mul", total, scale)

    def _scale(self, states: ir.Value, zero_point: int) -> ir.Value:
        """The least that brings a token's least x to 0 or above, its largest to 255 or below."""
        last = self._constant("last", np.array([-1]))
        needs = [
            self._node(
                "Mul", self._node(kind, states, last), self._float(kind, np.array(1 / integers))
            )
            for kind, integers in (("ReduceMin", -zero_point), ("ReduceMax", STEPS - zero_point))
        ]
        return self._node("Max", *needs, self._float("smallest", np.array(SMALLEST)))

    def _node(self, kind: str, *inputs: ir.Value, domain: str = "", **attributes: int) -> ir.Value:
        node = ir.node(kind, inputs, domain=domain, attributes=attributes)
        self._graph.insert_before(self._place, node)
        return node.outputs[0]

    def _float(self, name: str, array: NDArray[Any]) -> ir.Value:
        return self._constant(name, array.astype(np.float32))

    def _constant(self, name: str, array: NDArray[np.generic]) -> ir.Value:
        return initializer(self._graph, f"{self._name}.{name}", array)
