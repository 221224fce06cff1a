"""What a whole micro-batch a chunk does to callers beside each other, in virtual time."""

import numpy as np

from load_tests.chunk_sizes import DEVICES, WORKLOADS, simulate

DEVICE = DEVICES["minilm"]
SECONDS = 0.5


def test_a_whole_micro_batch_a_chunk_takes_nothing_from_small_callers() -> None:
    workload = WORKLOADS["4 x 256 beside 1 x 16"]
    quarter, whole = (simulate(workload, DEVICE, chunk, 4, SECONDS) for chunk in (0.25, 1.5))
    assert whole.evenness >= quarter.evenness
    assert whole.tokens_s >= 0.95 * quarter.tokens_s


def test_queries_do_not_wait_longer_for_it() -> None:
    workload = WORKLOADS["8 x 256, 50 queries a second"]
    quarter, whole = (
        np.percentile(simulate(workload, DEVICE, chunk, 4, SECONDS).query_seconds, [50, 99])
        for chunk in (0.25, 1.5)
    )
    assert (whole <= quarter * 1.05).all()


def test_virtual_time_is_the_same_at_every_run() -> None:
    workload = WORKLOADS["8 x 64"]
    runs = [simulate(workload, DEVICE, 1.5, 4, 0.1).tokens_s for _ in range(2)]
    assert runs[0] == runs[1] > 0
