"""The encoder as the step runs it: two sessions on one file, and the memory they take."""

import os
from pathlib import Path

import numpy as np
import pytest

from export.steps.inference import CpuEncoder, check_processor
from tests.export.steps.inference.conftest import IDS, LENGTHS, MEANS


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
