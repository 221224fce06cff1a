"""The encoder as the step runs it: two sessions on one file, and the memory they take."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from export.graph.blocks import subgraph
from export.graph.inputs import feed, op
from export.graph.rendering import render_pool
from export.steps.inference import CpuEncoder, check_processor

IDS = np.array([3, 4, 5, 6], dtype=np.int64)
LENGTHS = np.array([1, 3], dtype=np.int32)
MEANS = [[3.0, 9.0], [5.0, 77 / 3]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each token is its id and the square of it; a text is the mean of its tokens."""
    inputs = [
        ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape([None]))
        for name, dtype in (("INPUT_IDS", ir.DataType.INT64), ("SEQ_LENS", ir.DataType.INT32))
    ]

    def encode(input_ids: Any, seq_lens: Any) -> Any:
        numbers = op.Unsqueeze(op.Cast(input_ids, to=1), [1])
        return render_pool(op.Concat(numbers, op.Mul(numbers, numbers), axis=1), seq_lens, "mean")

    graph = subgraph(encode, inputs)
    graph.opset_imports[""] = 20
    (output,) = graph.outputs
    output.name, output.type = "EMBEDDING", ir.TensorType(ir.DataType.FLOAT)
    model = ir.Model(graph, ir_version=10)
    feed(model)
    model.metadata_props.update({"widest": "10", "heads": "2", "block": "8", "padding": "-1"})
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    ir.save(model, path)
    return path


@pytest.mark.parametrize("threads", [1, 2])
def test_a_micro_batch_gives_the_same_alone_and_beside_others(model: Path, threads: int) -> None:
    encoder = CpuEncoder(model, threads)

    for found in (encoder.embed(IDS, LENGTHS), encoder.embed_beside(IDS, LENGTHS)):
        np.testing.assert_allclose(found, MEANS)


def test_without_a_number_every_core_has_a_thread(model: Path) -> None:
    assert len(os.sched_getaffinity(0)) == CpuEncoder(model).threads
    assert 3 == CpuEncoder(model, threads=3).threads


def test_only_a_lone_micro_batch_has_threads_beside_the_callers(model: Path) -> None:
    before = threads_of_this_process()

    encoder = CpuEncoder(model, threads=4)

    assert before + 3 == threads_of_this_process()
    del encoder


def test_one_thread_needs_the_weights_once(model: Path) -> None:
    """Whose sessions nothing else tells apart."""
    one, two = CpuEncoder(model, threads=1), CpuEncoder(model, threads=2)

    assert one._alone is one._beside
    assert two._alone is not two._beside


def threads_of_this_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [(1, 216), (7, 7 * (200 + 112)), (8, 8 * (200 + 128)), (9, 9 * (200 + 128))],
    ids=["one token", "short", "a block", "longer than a block"],
)
def test_a_text_takes_its_layers_and_its_scores(model: Path, tokens: int, expected: int) -> None:
    assert expected == CpuEncoder(model, threads=1).text_bytes(tokens)


@pytest.mark.parametrize("flag", ["avx512_vnni", "avx_vnni", "amx_int8"])
def test_a_processor_that_adds_up_int8_exactly_may(flag: str, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: fpu {flag} sse\n")

    check_processor(tmp_path / "cpuinfo")


def test_a_processor_that_does_not_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("flags\t\t: fpu avx512f avx2\n")

    with pytest.raises(RuntimeError, match="export the model with --precision fp32"):
        check_processor(tmp_path / "cpuinfo")
