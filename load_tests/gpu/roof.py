"""What the card itself can do, by torch: products of fp16 matrices, a copy within its memory."""

import time
from collections.abc import Callable
from functools import partial

import torch

from load_tests.gpu.run import Run

PART = "roof"
WARM_UP, REPEATS = 5, 20


def measure(run: Run) -> None:
    """Anew in every call, which other rows of it are compared with."""
    device = "cpu" if run.fake else "cuda"
    for size in (run.effort.matrix, run.effort.matrix // 2):
        a, b = (torch.randn(size, size, device=device).half() for _ in range(2))
        seconds = timed(partial(torch.matmul, a, b))
        run.rows.add(PART, {"what": "product", "size": size}, {"tflops": 2e-12 * size**3 / seconds})
    source = torch.randn(run.effort.copy_mib * 2**20 // 4, device=device)
    target = torch.empty_like(source)
    seconds = timed(partial(target.copy_, source))
    moved = 2 * 4 * source.numel()  # read and written
    case = {"what": "copy", "size": run.effort.copy_mib}
    run.rows.add(PART, case, {"tb_per_s": 1e-12 * moved / seconds})


def timed(work: Callable[[], object]) -> float:
    """Seconds of one, by the mean of many."""
    for _ in range(WARM_UP):
        work()
    synchronize()
    start = time.perf_counter()
    for _ in range(REPEATS):
        work()
    synchronize()
    return (time.perf_counter() - start) / REPEATS


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
