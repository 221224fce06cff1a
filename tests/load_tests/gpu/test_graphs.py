"""What is measured computes one model: our forms of the graph, and the padded one of a peer."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from export.graph.encoder import GPU, convert, write_model
from export.steps.inference import CpuEncoder
from load_tests.gpu.bert import bert
from load_tests.gpu.graphs import POOLING, make, write_padded
from load_tests.gpu.padding import pad
from load_tests.gpu.shapes import FORMS, SHAPES, Shape, graph_of, ids_of
from load_tests.gpu.torch_peers import Packed
from load_tests.gpu.weights import data_of, fill, read_listing

pytestmark = pytest.mark.slow

TINY: Shape = SHAPES[1].tiny  # which is not served, so that no repository is made
LENGTHS = np.array([7, 1, 30], dtype=np.int32)
NEAR = 0.99999


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray((one * other).sum(axis=1) / norms)


def test_peers_compute_the_same_vectors(tmp_path: Path) -> None:
    model = bert(TINY)
    write_model(convert(model, (POOLING,), form=GPU), tmp_path / "ours.onnx")
    write_padded(model, tmp_path / "padded.onnx")
    input_ids = ids_of(TINY, LENGTHS, np.random.default_rng(0))
    ours = CpuEncoder(tmp_path / "ours.onnx").embed(input_ids, LENGTHS)

    grid, mask = pad(np.split(input_ids, np.cumsum(LENGTHS)[:-1]))
    session = onnxruntime.InferenceSession(tmp_path / "padded.onnx")
    padded = session.run(None, {"INPUT_IDS": grid, "ATTENTION_MASK": mask})[0]
    with torch.inference_mode():
        packed = Packed(model)(torch.from_numpy(input_ids), LENGTHS).numpy()

    assert cosines(ours, padded).min() > NEAR
    assert cosines(ours, packed).min() > NEAR


def test_graphs_come_without_weights_and_forms_agree_with_them(tmp_path: Path) -> None:
    make([TINY], tmp_path)
    graphs = [graph_of(tmp_path, TINY, form) for form in FORMS]
    packed, standard = [{x.name: x.size for x in read_listing(graph)} for graph in graphs]
    assert not list(tmp_path.rglob("*.data"))
    assert packed == standard
    for graph in graphs:
        fill(graph)
    assert data_of(graphs[0]).read_bytes() == data_of(graphs[1]).read_bytes()
    input_ids = ids_of(TINY, LENGTHS, np.random.default_rng(0))
    assert np.isfinite(CpuEncoder(graphs[1]).embed(input_ids, LENGTHS)).all()
