"""What the real CUDA provider does with a small graph: where its nodes run, copies, streams."""

from pathlib import Path

import pytest

from tests.fake_cuda.graphs import WEIGHTS_A_LAYER, WIDTH, save_feed_forward, save_with_host_node
from tests.fake_cuda.report import Copies
from tests.fake_cuda.sessions import Feeds, Plan, run_session

pytestmark = pytest.mark.fake_cuda

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
NO_FALLBACK = {"session.disable_cpu_ep_fallback": "1"}
FLOAT16_BYTES = 2


def feeds(tokens: int) -> Feeds:
    return {"INPUT": ("float16", (tokens, WIDTH))}


def test_every_node_runs_on_the_device(feed_forward: Path) -> None:
    outcome = run_session(Plan(feed_forward, [[feeds(5)]], configuration=NO_FALLBACK))
    layer = [(operator, CUDA) for operator in ("Gemm", "Gelu", "LayerNormalization")]
    assert outcome.nodes == layer * 2


@pytest.mark.parametrize("layers", [1, 3])
def test_a_layer_launches_three_kernels_and_one_product(tmp_path: Path, layers: int) -> None:
    """The bias is a kernel of its own: onnxruntime asks cuBLAS for no epilogue."""
    model = save_feed_forward(tmp_path / "model.onnx", layers)
    (only,) = run_session(Plan(model, [[feeds(5)]])).rounds
    assert only.report.launched("BroadcastBias") == layers
    assert only.report.launched("OP_Gelu") == layers
    assert only.report.launched("LayerNorm") == layers
    assert only.report.launched() == 3 * layers
    assert only.report.computations == {"cublasGemmEx": layers}


def test_inputs_and_outputs_are_copied_once_and_waited_for_once_each(feed_forward: Path) -> None:
    _, warm = run_session(Plan(feed_forward, [[feeds(5)]] * 2)).rounds
    copied = Copies(count=1, bytes=5 * WIDTH * FLOAT16_BYTES)
    assert warm.report.copies == {"host to device": copied, "device to host": copied}
    assert warm.report.waits == 2
    assert warm.report.calls == {"cudaStreamSynchronize": 2}  # nothing is allocated


def test_a_session_copies_its_weights_when_it_is_made(feed_forward: Path) -> None:
    outcome = run_session(Plan(feed_forward))
    size = 2 * (WIDTH * WIDTH + 3 * WIDTH) * FLOAT16_BYTES
    assert outcome.loaded.copied("host to device") == Copies(2 * WEIGHTS_A_LAYER, size)


def test_two_threads_have_two_streams_and_one_copy_of_the_weights(feed_forward: Path) -> None:
    plan = Plan(feed_forward, [[feeds(5)], [feeds(5)] * 2])
    outcome = run_session(plan, FAKE_CUDA_BUSY_MICROSECONDS="50000")
    alone, together = outcome.rounds
    assert (1, 2) == (alone.report.streams, together.report.streams)
    assert together.report.copied("host to device").count == 2  # an input each, no weights
    assert together.report.live_bytes == outcome.loaded.live_bytes


def test_a_node_without_a_kernel_runs_on_the_cpu_between_copies(tmp_path: Path) -> None:
    model = save_with_host_node(tmp_path / "model.onnx")
    outcome = run_session(Plan(model, [[feeds(5)]]))
    assert ("Acos", CPU) in outcome.nodes
    assert outcome.rounds[0].report.copied("device to host").count == 2


def test_a_node_without_a_kernel_is_refused_without_the_cpu(tmp_path: Path) -> None:
    model = save_with_host_node(tmp_path / "model.onnx")
    outcome = run_session(Plan(model, configuration=NO_FALLBACK))
    assert "fallback to CPU EP has been explicitly disabled" in outcome.error


def test_no_function_without_a_behaviour_is_called(feed_forward: Path) -> None:
    outcome = run_session(Plan(feed_forward, [[feeds(5)]]))
    assert [{}, {}] == [outcome.loaded.stubs, outcome.rounds[0].report.stubs]
