"""The encoder of a GPU on the fake one: what is missing, and what its session takes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.graph.encoder import GPU, write_model
from export.graph.kernels import use_packed_attention
from export.reference import load
from export.steps.inference import write_canary
from export.steps.inference.device import CUDA_LIBRARIES, DRIVER
from tests.checkpoints import make_checkpoint
from tests.fake_cuda.graphs import save_feed_forward, save_with_host_node
from tests.fake_cuda.report import Report
from tests.fake_cuda.run import LIBRARIES, ROOT, in_fake_cuda

pytestmark = pytest.mark.fake_cuda

MIB = 2**20
# Prints what comes of each round: shapes of embeddings, or what was raised. A round is a list of
# micro-batches that run at once, each as the lengths of its texts; the first is the load.
PROGRAM = """
import json, sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from inference import Canary, CudaEncoder, warm_up
from tests.fake_cuda.device import Device

path, number, rounds = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])

def embed(lengths):
    barrier.wait()
    seq_lens = np.array(lengths, dtype=np.int32)
    try:
        return list(encoder.embed(np.ones(seq_lens.sum(), dtype=np.int64), seq_lens).shape)
    except Exception as error:
        return f"{type(error).__name__}: {error}"

encoder = CudaEncoder(path, number)
print(json.dumps([str(encoder.device), encoder._session.get_providers()]))
device = Device()
device.tell()
with ThreadPoolExecutor(2) as pool:
    for micro_batches in rounds:
        if micro_batches == "warm up":
            warm_up(encoder, np.ones(16, dtype=np.int64), 4096)
        elif micro_batches == "canary":
            Canary(path.with_name("canary.npz")).check(encoder)
        else:
            barrier = threading.Barrier(len(micro_batches))
            print(json.dumps(list(pool.map(embed, micro_batches))))
        device.tell()
"""
LOADED = "Fake H100, 80 GiB, compute capability 9.0, driver unknown for CUDA 13.0"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT as it is exported for CUDA, with a canary of whatever vectors."""
    folder = tmp_path_factory.mktemp("encoder")
    graph = load(make_checkpoint(folder / "bert", "bert")).rounded(torch.float16).convert(GPU)
    assert use_packed_attention(graph)
    path = folder / "model.onnx"
    write_model(graph, path)
    write_canary(
        path.with_name("canary.npz"),
        [np.ones(3, dtype=np.int64)],
        np.ones((1, 32), dtype=np.float32),
        min_cosine=0.9999,
    )
    return path


def refusal(model: Path, *, number: int = 0, rounds: Any = (), **about: Any) -> str:
    """The last line of a program that failed: the error and its sentence."""
    finished = in_fake_cuda("-c", PROGRAM, model, str(number), json.dumps(rounds), **about)
    assert finished.status == 1
    return finished.errors.splitlines()[-1].removeprefix("inference.")


def outcome(model: Path, rounds: Any, **settings: str) -> tuple[list[Any], list[Report]]:
    finished = in_fake_cuda("-c", PROGRAM, model, "0", json.dumps(rounds), **settings)
    assert finished.status == 0, finished.errors
    lines = [line for line in finished.printed.splitlines() if line.startswith("[")]
    return [json.loads(line) for line in lines], finished.reports


@pytest.mark.parametrize(
    ("about", "told"),
    [
        (
            {"FAKE_CUDA_DRIVER": "12040"},
            "the NVIDIA driver knows CUDA 12.4 at most, and 13.0 is needed: install driver 580",
        ),
        (
            {"FAKE_CUDA_DEVICES": "0"},
            "the NVIDIA driver shows no GPU (CUDA_VISIBLE_DEVICES is not set): ",
        ),
        (
            {"FAKE_CUDA_DEVICES": "0", "CUDA_VISIBLE_DEVICES": "7"},
            "the NVIDIA driver shows no GPU (CUDA_VISIBLE_DEVICES is '7'): ",
        ),
        ({"number": 1}, "there is no GPU 1, only 1 from 0 on (CUDA_VISIBLE_DEVICES is not set): "),
        ({"number": -1}, "there is no GPU -1, only 1 "),
    ],
    ids=str,
)
def test_what_is_missing_is_one_sentence(
    model: Path, about: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert refusal(model, **about).startswith(f"device.CannotUseGpu: {told}")


@pytest.mark.parametrize("library", CUDA_LIBRARIES)
def test_a_missing_library_is_said_with_its_package(model: Path, library: str) -> None:
    told = refusal(model, without=[library])
    assert told.startswith(f"device.CannotUseGpu: {library} cannot be loaded (")
    package = CUDA_LIBRARIES[library]
    assert told.endswith(f"): pip install 'triton-embeddings[gpu]' brings it, in {package}")


def test_a_missing_driver_is_said_with_the_way_to_it(model: Path) -> None:
    told = refusal(model, without=["libcuda.so.1"])
    assert told.startswith("device.CannotUseGpu: libcuda.so.1 cannot be loaded (")
    assert "): install the NVIDIA driver, 580 or newer; a container must be run with GPUs" in told


def test_a_chip_that_the_wheel_has_no_code_for_is_named_at_the_warm_up(model: Path) -> None:
    told = refusal(model, rounds=["warm up"], FAKE_CUDA_CAPABILITY="10.0")
    assert told.startswith("RuntimeError: onnxruntime-gpu 1.")
    assert "has no code for this GPU" in told


def test_every_node_is_on_the_gpu(model: Path) -> None:
    ((device, providers), shapes), _ = outcome(model, [[[3, 5]]])
    assert device == LOADED
    assert providers[0] == "CUDAExecutionProvider"
    assert shapes == [[2, 32]]


def test_libraries_of_pip_are_found_without_a_search_path(model: Path, tmp_path: Path) -> None:
    """As with `pip install '.[gpu]'`; the driver is the system's."""
    system, pip = tmp_path / "system", tmp_path / "site" / "nvidia" / "cu13" / "lib"
    for folder in (system, pip):
        folder.mkdir(parents=True)
    (system / DRIVER).symlink_to(LIBRARIES / DRIVER)
    for library in CUDA_LIBRARIES:
        (pip / library).symlink_to(LIBRARIES / library)
    paths = {
        "LD_LIBRARY_PATH": str(system),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'export' / 'steps'}:{tmp_path / 'site'}",
    }
    finished = in_fake_cuda("-c", PROGRAM.replace("device.tell()", ""), model, "0", "[]", **paths)
    assert finished.status == 0, finished.errors
    assert LOADED in finished.printed


TENSORRT = """
import sys
from pathlib import Path
from inference import TensorRtEncoder

kinds = {"INPUT_IDS": ["T"]}
TensorRtEncoder(Path(sys.argv[1]), 0, "fp16", inputs=kinds, max_tokens=1, max_length=1, edition="e")
"""


def test_a_missing_tensorrt_is_said_with_the_way_to_it(model: Path) -> None:
    finished = in_fake_cuda("-c", TENSORRT, model)
    assert finished.status == 1
    told = finished.errors.splitlines()[-1].removeprefix("inference.device.CannotUseGpu: ")
    assert told.startswith("libnvinfer.so.10 cannot be loaded (libnvinfer.so.10: cannot open")
    assert "): use a Triton image that has TensorRT 10 and cuDNN 9, or pip install" in told
    assert not model.with_name("engines").exists()


OPEN = """
import sys
from inference.cuda import PROVIDER, open_session, provider_options

open_session(sys.argv[1], PROVIDER, provider_options(0))
"""


def test_a_node_that_would_be_on_the_cpu_ends_the_load(tmp_path: Path) -> None:
    finished = in_fake_cuda("-c", OPEN, save_with_host_node(tmp_path / "model.onnx"))
    assert finished.status == 1
    assert "fallback to CPU EP has been explicitly disabled" in finished.errors.splitlines()[-1]


def test_a_provider_that_cannot_be_had_is_not_replaced(tmp_path: Path) -> None:
    """Where the driver is older than what is asked for before, say; onnxruntime would go on."""
    model = save_feed_forward(tmp_path / "model.onnx")
    finished = in_fake_cuda("-c", OPEN, model, FAKE_CUDA_DRIVER="12040")
    assert finished.status == 1
    assert "Falling back" not in finished.printed + finished.errors
    assert "CUDA driver version is insufficient" in finished.errors


def test_two_workers_have_two_streams_and_one_copy_of_the_weights(model: Path) -> None:
    rounds = [[[3, 5]], [[3, 5]], [[3, 5], [3, 5]]]
    _, (loaded, _, one, two) = outcome(model, rounds)
    assert (one.streams, two.streams) == (1, 2)
    weights = loaded.copied("host to device").bytes
    assert weights > 10_000
    for round_, micro_batches in ((one, 1), (two, 2)):  # ids, places and weights of a mean
        assert round_.copied("host to device").bytes < micro_batches * 500
        assert round_.copied("device to host").count == micro_batches


def test_a_warm_up_takes_the_memory_of_later_runs(model: Path) -> None:
    lengths = np.random.default_rng(seed=0).integers(1, 60, size=(20, 60)).tolist()
    _, (_, warm, *later) = outcome(model, ["warm up", *([each] for each in lengths)])
    assert {warm.live_bytes} == {report.live_bytes for report in later}


def test_memory_is_that_of_the_longest_run_whatever_the_others(model: Path) -> None:
    counts = [*np.random.default_rng(seed=0).integers(1, 1000, size=20).tolist(), 1000]
    rounds = [[[16] * texts] for texts in counts]
    (*_, longest), (*_, all_of_them) = (outcome(model, each)[1] for each in (rounds[-1:], rounds))
    assert longest.live_bytes == all_of_them.live_bytes


def test_memory_that_ends_is_survived(model: Path) -> None:
    """8 MiB hold half of it; onnxruntime doubles what it takes, so the rest is not all used."""
    rounds = [[[16] * texts] for texts in (10, 600, 10, 10_000, 10)]
    (_, *told), reports = outcome(model, rounds, FAKE_CUDA_MEMORY=str(8 * MIB))
    assert [[[10, 32]], [[600, 32]], [[10, 32]], [[10, 32]]] == [told[i] for i in (0, 1, 2, 4)]
    assert told[3][0].startswith("OutOfMemory: not even half a micro-batch of 160000 tokens fits")
    assert max(report.peak_bytes for report in reports) <= 8 * MIB


def test_a_gpu_that_computes_other_vectors_is_not_ready(model: Path) -> None:
    """The fake one computes nothing."""
    told = refusal(model, rounds=["canary"])
    assert told.startswith("canary.WrongVectors: the canary texts have cosine -1.000000 to")
