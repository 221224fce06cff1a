"""The graph that OpenVINO is given: close to float32, with the branch of a short text alone."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from export.graph.encoder import write_model
from export.reference import load
from export.steps.inference import CpuEncoder, Feeder
from export.steps.quantization import normalize
from load_tests.bench.uint8_weights import round_columns, write
from tests.checkpoints import make_checkpoint


def test_columns_are_rounded_to_the_nearest_of_256_steps() -> None:
    weights = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
    integers, scales, zeros = round_columns(weights)
    again = (integers.astype(np.float32) - zeros) * scales
    assert (np.abs(again - weights) <= scales * 0.51).all()


@pytest.mark.slow
def test_the_graph_of_a_short_text_is_the_same_but_for_rounding(tmp_path: Path) -> None:
    write_model(load(make_checkpoint(tmp_path / "bert", "bert")).convert(), tmp_path / "fp32.onnx")
    write(tmp_path / "fp32.onnx", tmp_path / "uint8.onnx")

    rounded = onnxruntime.InferenceSession(tmp_path / "uint8.onnx")
    exact = onnxruntime.InferenceSession(tmp_path / "fp32.onnx")
    texts = np.arange(5, 14), np.array([2, 4, 3], dtype=np.int32)
    feeds = Feeder(exact).feeds(*texts)
    names = [value.name for value in rounded.get_inputs()]
    (found,) = rounded.run(None, {name: feeds[name] for name in names})
    expected = CpuEncoder(tmp_path / "fp32.onnx").embed(*texts)

    assert "IS_LONG" not in names
    cosines = (normalize(found) * normalize(expected)).sum(axis=1)
    assert 0.999 < cosines.min() < 1
