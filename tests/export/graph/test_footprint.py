"""What a text takes of memory is what the graph says of itself, and comes back."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest

from export.graph.blocks import subgraph
from export.graph.encoder import write_model
from export.graph.footprint import note
from export.graph.inputs import op
from export.reference import load
from export.steps.inference.cpu import KEPT_BYTES
from tests.checkpoints import make_checkpoint

SLACK_BYTES = 16 * 2**20  # of threads, and of what others of the process allocate
WIDE = {
    "hidden_size": 256,
    "num_attention_heads": 16,
    "intermediate_size": 1024,
    "max_position_embeddings": 4096,
}
KINDS: dict[str, dict[str, Any]] = {
    "bert": WIDE,
    "qwen3": WIDE | {"num_key_value_heads": 8, "head_dim": 32},
    "modernbert": WIDE | {"local_attention": 128},
}


def test_a_graph_says_how_wide_it_is() -> None:
    states = ir.Value(
        name="states", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([None, 4])
    )

    def widen(states: Any) -> Any:
        twice = op.Concat(states, states, states, axis=1)  # (T, 12)
        square = op.MatMul(states, op.Transpose(states, perm=[1, 0]))  # (T, T): no row of a token
        return op.Add(op.ReduceSum(square), op.ReduceSum(twice))

    graph = subgraph(widen, [states])
    graph.opset_imports[""] = 20
    model = ir.Model(graph, ir_version=10)

    note(model, heads=3, block=320, padding=1)

    assert {
        "widest": "12",
        "heads": "3",
        "block": "320",
        "padding": "1",
        "pair_bytes": "0",
    } == model.metadata_props


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    checkpoint = make_checkpoint(folder / "checkpoint", request.param, **KINDS[request.param])
    write_model(load(checkpoint).convert(), folder / "m")
    return folder / "m"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch, to itself
@pytest.mark.parametrize(("tokens", "count"), [(2048, 2), (4096, 1)])
def test_long_texts_take_what_their_graph_says_and_give_it_back(
    model: Path, tokens: int, count: int
) -> None:
    command = [sys.executable, "-m", "tests.peak_memory", str(model), str(tokens), str(count)]
    measured = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)

    assert measured["expected"] / 4 <= measured["peak"] <= measured["expected"] + SLACK_BYTES
    assert measured["left"] <= count * KEPT_BYTES
