"""The encoder of a GPU on real sessions of the CPU: memory that ends, and what is said of it.

What needs the CUDA provider itself stands in tests/fake_cuda/test_encoder.py.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from export.steps.inference import GpuEncoder, OutOfMemory, warm_up
from export.steps.inference.gpu import DeviceLost
from export.steps.memory import Memory
from tests.export.steps.inference.conftest import IDS, LENGTHS, MEANS

ARENA_BYTES = 4 * 2**20
# Tokens of one text, far from the limit of 262 144.
FITS, DOES_NOT = 100_000, 400_000


@pytest.fixture(scope="module")
def arena() -> None:
    """The memory of sessions that ask for the environment's, with an end."""
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    whole = {"max_mem": ARENA_BYTES, "initial_chunk_size_bytes": ARENA_BYTES}
    limit = onnxruntime.OrtArenaCfg(whole)  # else its parts depend on what ran before
    onnxruntime.create_and_register_allocator(memory, limit)


@pytest.fixture
def encoder(model: Path, arena: None) -> GpuEncoder:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return GpuEncoder(session, "fp32")


def texts(*lengths: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Ids 1 and 2, text after text."""
    seq_lens = np.array(lengths, dtype=np.int32)
    return np.repeat(1 + np.arange(len(lengths)) % 2, seq_lens), seq_lens


def test_a_micro_batch_gives_the_same_alone_and_beside_others(encoder: GpuEncoder) -> None:
    for found in (encoder.embed(IDS, LENGTHS), encoder.embed_beside(IDS, LENGTHS)):
        np.testing.assert_allclose(found, MEANS)


def test_embeddings_are_the_callers_own(encoder: GpuEncoder) -> None:
    first = encoder.embed(IDS, LENGTHS)
    first[:] = 0
    np.testing.assert_allclose(encoder.embed(IDS, LENGTHS), MEANS)


def test_several_workers_share_the_device(encoder: GpuEncoder) -> None:
    assert encoder.shares_device
    assert 2 == encoder.threads


@pytest.mark.parametrize("lengths", [(DOES_NOT // 2,) * 2, (FITS, *(10,) * 7), (*(10,) * 7, FITS)])
def test_where_memory_ends_a_micro_batch_is_halved(
    encoder: GpuEncoder, lengths: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """By half of its tokens, or beside the text that has more of them."""
    for _ in range(2):
        found = encoder.embed(*texts(*lengths))
        expected = [[1 + i % 2, (1 + i % 2) ** 2] for i in range(len(lengths))]
        np.testing.assert_allclose(found, expected, rtol=1e-3)
    (record,) = caplog.records
    assert f"a micro-batch of {sum(lengths)} tokens, which is halved" in record.getMessage()


@pytest.mark.parametrize("most_texts", [1, 2, 3, 5, 6])
def test_more_texts_than_a_run_takes_are_run_in_turns(encoder: GpuEncoder, most_texts: int) -> None:
    """As an engine of TensorRT needs it."""
    seen: list[int] = []

    class Noting(GpuEncoder):
        def _run_once(
            self, input_ids: NDArray[np.int64], seq_lens: NDArray[np.int32]
        ) -> NDArray[np.float32]:
            seen.append(len(seq_lens))
            return super()._run_once(input_ids, seq_lens)

    asked = texts(3, 1, 4, 1, 5)
    found = Noting(encoder._session, "fp32", most_texts=most_texts).embed(*asked)
    np.testing.assert_array_equal(found, encoder.embed(*asked))
    assert max(seen) == min(most_texts, 5)
    assert sum(seen) == 5


def test_a_text_that_does_not_fit_is_told_what_to_do(encoder: GpuEncoder) -> None:
    with pytest.raises(OutOfMemory, match=f"a text of {DOES_NOT} tokens .* smaller --max-length"):
        encoder.embed(*texts(DOES_NOT))
    np.testing.assert_allclose(encoder.embed(IDS, LENGTHS), MEANS)


def test_a_micro_batch_is_not_halved_again(encoder: GpuEncoder) -> None:
    told = f"half a micro-batch of {8 * FITS} tokens .* smaller --micro-batch-tokens"
    with pytest.raises(OutOfMemory, match=told):
        encoder.embed(*texts(*(FITS,) * 8))
    np.testing.assert_allclose(encoder.embed(IDS, LENGTHS), MEANS)


class Failing:
    """In the place of a session that fails as one on a CPU never does."""

    def __init__(self, session: onnxruntime.InferenceSession, told: str) -> None:
        self.get_modelmeta, self.get_inputs = session.get_modelmeta, session.get_inputs
        self._told = told

    def run(self, *_: Any) -> None:
        raise RuntimeError(self._told)


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("Failed to allocate memory for requested buffer of size 8589934592", OutOfMemory),
        ("CUDA failure 2: out of memory ; GPU=0 ; hostname=a", OutOfMemory),
        ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0", OutOfMemory),
        ("CUDA failure 700: an illegal memory access was encountered ; GPU=0", DeviceLost),
        ("CUDA error 719: unspecified launch failure", DeviceLost),
        ("CUDA failure 1: invalid argument ; GPU=0", RuntimeError),
        ("CUDA failure 209: no kernel image is available for execution", RuntimeError),
    ],
)
def test_what_onnxruntime_says_of_a_gpu_is_understood(
    model: Path, told: str, kind: type[BaseException]
) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with pytest.raises(kind) as caught:
        GpuEncoder(Failing(session, told), "fp32").embed(IDS[:1], LENGTHS[:1])
    assert kind is caught.type
    assert ("has no code for this GPU" in str(caught.value)) == ("kernel image" in told)


@pytest.mark.parametrize(("precision", "expected"), [("fp32", 700), ("fp16", 350), ("bf16", 350)])
def test_a_text_takes_its_row_of_the_grid(
    encoder: GpuEncoder, precision: str, expected: int
) -> None:
    """Seven tokens, of ten numbers five times."""
    assert expected * 2 == GpuEncoder(encoder._session, precision).text_bytes(7)


def test_a_text_takes_what_is_told_of_its_pairs(model: Path, tmp_path: Path) -> None:
    """A mask of local attention grows with the square of its tokens."""
    local = onnx.load(model)
    local.metadata_props.add(key="pair_bytes", value="19")
    onnx.save(local, tmp_path / "local.onnx")
    encoders = [
        GpuEncoder(onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]), "fp16")
        for path in (model, tmp_path / "local.onnx")
    ]

    without, told = (encoder.text_bytes(8192) for encoder in encoders)

    assert 19 * 8192**2 == told - without


def test_like_lengths_always_fit_and_unlike_ones_are_padded_little(encoder: GpuEncoder) -> None:
    budget = 4096
    memory = Memory(encoder.text_bytes, encoder.threads, encoder.working_mib(budget))
    rounding = 2**20 // (2 * encoder.threads * encoder.text_bytes(1))  # to whole MiB
    for length in (1, 7, 100, 2000, 4096):
        assert memory.most_texts(length) >= budget // length
        cells = memory.most_texts(length) * length
        assert cells <= 2 * budget + rounding


def test_a_warm_up_takes_as_much_as_ever_and_one_text(encoder: GpuEncoder) -> None:
    seen: list[list[int]] = []

    class Noting(GpuEncoder):
        def embed(
            self, input_ids: NDArray[np.int64], seq_lens: NDArray[np.int32]
        ) -> NDArray[np.float32]:
            seen.append(seq_lens.tolist())
            return super().embed(input_ids, seq_lens)

    noting = Noting(encoder._session, "fp32")
    warm_up(noting, np.arange(10), max_tokens=45)
    warm_up(noting, np.arange(10), max_tokens=5)
    assert [[10] * 4, [10], [10], [10]] == seen
