"""The memory of a session over many shapes, and where it ends."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.fake_cuda.graphs import WIDTH
from tests.fake_cuda.sessions import Feeds, Outcome, Plan, run_session

pytestmark = pytest.mark.fake_cuda

MIB = 2**20
LENGTHS = np.random.default_rng(seed=0).integers(1000, 8192, size=40).tolist()


def run_lengths(
    model: Path, lengths: Iterable[int], provider_options: Mapping[str, str], **settings: str
) -> Outcome:
    """One run after the other; without patterns, which are kept for each shape."""
    rounds: list[list[Feeds]] = [[{"INPUT": ("float16", (length, WIDTH))}] for length in lengths]
    session_options = {"enable_mem_pattern": False}
    return run_session(Plan(model, rounds, provider_options, session_options), **settings)


def live_mebibytes(model: Path, strategy: str, lengths: Iterable[int]) -> int:
    """After one run of each length."""
    outcome = run_lengths(model, lengths, {"arena_extend_strategy": strategy})
    return outcome.rounds[-1].report.live_bytes // MIB


def test_an_arena_of_powers_of_two_takes_as_much_as_its_longest_run(feed_forward: Path) -> None:
    longest = live_mebibytes(feed_forward, "kNextPowerOfTwo", [max(LENGTHS)])
    assert longest == live_mebibytes(feed_forward, "kNextPowerOfTwo", LENGTHS)


def test_an_arena_of_requested_sizes_takes_more(feed_forward: Path) -> None:
    """Why the other one is chosen; where this ends, so may the reason."""
    longest = live_mebibytes(feed_forward, "kSameAsRequested", [max(LENGTHS)])
    assert longest < live_mebibytes(feed_forward, "kSameAsRequested", LENGTHS)


@pytest.mark.parametrize(
    ("limits", "settings"),
    [
        ({"gpu_mem_limit": str(16 * MIB)}, {}),
        ({}, {"FAKE_CUDA_MEMORY": str(16 * MIB)}),
    ],
    ids=["of the session", "of the device"],
)
def test_a_run_that_finds_no_memory_leaves_the_session_to_smaller_ones(
    feed_forward: Path, limits: Mapping[str, str], settings: Mapping[str, str]
) -> None:
    outcome = run_lengths(feed_forward, [64, 2**14, 64, 2**15, 512], limits, **settings)
    errors = [each.errors[0] for each in outcome.rounds]
    assert [True, False, True, False, True] == [error == "" for error in errors]
    assert all("requested" in error and "bfc_arena" in error for error in errors if error)
    assert all(each.report.peak_bytes <= 16 * MIB for each in outcome.rounds)


def test_weights_that_do_not_fit_are_an_error_of_the_session(feed_forward: Path) -> None:
    outcome = run_lengths(feed_forward, [], {}, FAKE_CUDA_MEMORY="65536")
    assert "Failed to allocate memory" in outcome.error
