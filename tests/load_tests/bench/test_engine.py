"""What the engine measurement counts, on graphs and texts that can be checked by hand."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from load_tests.bench.engine import equalized
from load_tests.bench.graph import hidden_size, linear_flops_per_token, open_gemm
from load_tests.bench.packing import micro_batches
from load_tests.bench.step import request

HIDDEN = 4


@pytest.fixture
def two_layers(tmp_path: Path) -> Path:
    """[T, 4] x [4, 16] x [16, 4], then a product of two activations, which has no weights."""
    nodes = [
        helper.make_node("MatMul", ["X", "up"], ["wide"]),
        helper.make_node("MatMul", ["wide", "down"], ["narrow"]),
        helper.make_node("Transpose", ["narrow"], ["turned"]),
        helper.make_node("MatMul", ["narrow", "turned"], ["Y"]),
    ]
    weights = [
        numpy_helper.from_array(np.zeros((HIDDEN, 4 * HIDDEN), dtype=np.float32), "up"),
        numpy_helper.from_array(np.zeros((4 * HIDDEN, HIDDEN), dtype=np.float32), "down"),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["T", size])
        for name, size in (("X", HIDDEN), ("Y", "T"))
    ]
    graph = helper.make_graph(nodes, "two", values[:1], values[1:], weights)
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_a_token_costs_two_operations_a_weight(two_layers: Path) -> None:
    assert linear_flops_per_token(two_layers) == 2 * (4 * 16 + 16 * 4)


def test_the_hidden_size_is_read_from_the_largest_product(two_layers: Path) -> None:
    assert hidden_size(two_layers) == HIDDEN


def test_the_matrix_product_counts_its_operations() -> None:
    assert open_gemm(HIDDEN, threads=1)() == 8 * 2 * 512 * (4 * 16 + 16 * 4)


def test_equal_texts_hold_the_same_tokens_at_the_mean_length() -> None:
    assert equalized([[1], [2, 3, 4], [5, 6]]) == [[1, 2], [3, 4], [5, 6]]


def test_micro_batches_keep_the_budget_and_every_token() -> None:
    batches = micro_batches([[1, 1, 1], [2], [3, 3], [4, 4, 4, 4, 4, 4]], most_tokens=4)
    assert [lengths.tolist() for _, lengths in batches] == [[1, 2], [3], [6]]
    assert [ids.tolist() for ids, _ in batches] == [[2, 3, 3], [1, 1, 1], [4] * 6]


def test_a_request_is_packed_as_the_tokenizer_step_packs_it() -> None:
    tensors = request([[101, 7, 102], [101, 102]]).tensors
    assert tensors["INPUT_IDS"].as_numpy().tolist() == [[101, 7, 102, 101, 102]]
    assert tensors["SEQ_LENS"].as_numpy().tolist() == [[3, 2]]
