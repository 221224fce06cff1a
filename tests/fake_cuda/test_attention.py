"""Which kernels the CUDA provider has for attention: flash, or products with the scores between."""

from pathlib import Path

import pytest
from onnx import TensorProto

from tests.fake_cuda.graphs import WIDTH, save_attention, save_packed_attention
from tests.fake_cuda.report import Report
from tests.fake_cuda.sessions import Feeds, Plan, run_session

pytestmark = pytest.mark.fake_cuda

TEXTS, LENGTH = 4, 64
FLASH = "flash_fwd_kernel"


def packed_feeds() -> Feeds:
    tokens = {name: ("float16", (TEXTS * LENGTH, WIDTH)) for name in ("QUERY", "KEY", "VALUE")}
    return {**tokens, "OFFSETS": ("int32", (TEXTS, LENGTH)), "STARTS": ("int32", (TEXTS + 1,))}


def padded_feeds(dtype: str = "float16") -> Feeds:
    padded = {name: (dtype, (TEXTS, LENGTH, WIDTH)) for name in ("QUERY", "KEY", "VALUE")}
    return {**padded, "LENGTHS": ("int64", (TEXTS,))}


def run_on_device(model: Path, feeds: Feeds, **settings: str) -> Report:
    configuration = {"session.disable_cpu_ep_fallback": "1"}
    outcome = run_session(Plan(model, [[feeds]], configuration=configuration), **settings)
    assert outcome.rounds[0].errors == [""]
    return outcome.rounds[0].report


@pytest.mark.parametrize("capability", ["8.0", "9.0"])
def test_packed_attention_is_one_flash_kernel(tmp_path: Path, capability: str) -> None:
    model = save_packed_attention(tmp_path / "model.onnx")
    report = run_on_device(model, packed_feeds(), FAKE_CUDA_CAPABILITY=capability)
    assert (1, 1) == (report.launched(FLASH), report.launched())
    assert report.computations == {}


@pytest.mark.parametrize("capability", ["8.0", "9.0"])
def test_standard_attention_is_one_flash_kernel_and_one_for_the_lengths(
    tmp_path: Path, capability: str
) -> None:
    model = save_attention(tmp_path / "model.onnx")
    report = run_on_device(model, padded_feeds(), FAKE_CUDA_CAPABILITY=capability)
    assert (1, 2) == (report.launched(FLASH), report.launched())
    assert report.computations == {}


def test_attention_in_float32_is_no_flash_kernel(tmp_path: Path) -> None:
    model = save_attention(tmp_path / "model.onnx", TensorProto.FLOAT)
    report = run_on_device(model, padded_feeds("float32"))
    assert report.launched(FLASH) == 0
    assert report.launched() > 2
