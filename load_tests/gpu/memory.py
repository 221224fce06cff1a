"""Memory and start: what of the card is taken when, and how long a session takes to open.

Each start is a process of its own, or the second would find everything loaded.
"""

import ctypes
import json
import resource
import subprocess
import sys
import time
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from load_tests.gpu.rows import Figures
from load_tests.gpu.run import Run
from load_tests.gpu.shapes import FORMS, Mix, Shape, ids_of, micro_batches
from load_tests.gpu.weights import data_of

LOAD, MEMORY = "load", "memory"
STARTS = ("cold", "warm")
MOST_TOKENS = 16_384
SHAPES_RUN = 40


def measure_load(run: Run) -> None:
    """The first start on a machine is the cold one."""
    for shape, form in product(run.shapes, FORMS):
        graph = None
        for start in STARTS:
            case = {"shape": shape.name, "form": form, "start": start}
            if run.rows.missing(LOAD, [case]):
                graph = graph or run.graph(shape, form)
                run.rows.measure(LOAD, case, partial(_in_process, "start", graph, shape))


def measure_memory(run: Run) -> None:
    for shape, form in product(run.shapes, FORMS):
        case = {"shape": shape.name, "form": form}
        if run.rows.missing(MEMORY, [case]):
            path = run.graph(shape, form)
            run.rows.measure(MEMORY, case, partial(_in_process, "shapes", path, shape))


def _in_process(what: str, graph: Path, shape: Shape) -> Figures:
    before = used_by_all()
    arguments = [what, str(graph), str(shape.hidden), str(shape.layers), str(shape.vocabulary)]
    finished = subprocess.run(  # noqa: S603 - this very module
        [sys.executable, "-m", "load_tests.gpu.memory", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise RuntimeError(finished.stderr.strip()[-400:])
    figures: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    return {**figures, "before_mib": before} if what == "shapes" else figures


def start(graph: Path, shape: Shape) -> Figures:
    """Seconds from a bare Python, and what a session then holds."""
    began = time.perf_counter()
    from export.steps.inference import CudaEncoder

    imported = time.perf_counter()
    encoder = CudaEncoder(graph)
    opened = time.perf_counter()
    seq_lens = np.array([16], dtype=np.int32)
    encoder.embed(ids_of(shape, seq_lens, np.random.default_rng(0)), seq_lens)
    return {
        "import_s": imported - began,
        "session_s": opened - imported,
        "first_run_s": time.perf_counter() - opened,
        "weights_mib": data_of(graph).stat().st_size / 2**20,
        "device_mib": device_mib(),
        "resident_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
        "device": str(encoder.device),
    }


def shapes(graph: Path, shape: Shape) -> Figures:
    """After a warm-up at the budget, and after many shapes."""
    from export.steps.inference import CudaEncoder, warm_up

    encoder = CudaEncoder(graph)
    loaded = device_mib()
    warm_up(encoder, np.full(128, 1000, dtype=np.int64), MOST_TOKENS)
    warm = device_mib()
    rng = np.random.default_rng(0)
    seen = []
    for number in range(SHAPES_RUN):
        tokens = int(rng.integers(256, MOST_TOKENS + 1))
        (batch,) = micro_batches(shape, Mix(16 + 11 * number, sigma=0.5), tokens, 1)
        encoder.embed(*batch)
        seen.append(device_mib())
    half, last = seen[len(seen) // 2], seen[-1]
    return {"loaded_mib": loaded, "warm_mib": warm, "half_mib": half, "end_mib": last}


def device_mib() -> float:
    """Of the whole card, this process's context included."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    runtime = ctypes.CDLL("libcudart.so.13")  # which the encoder has loaded
    if status := runtime.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total)):
        raise RuntimeError(f"cudaMemGetInfo: {status}")
    return (total.value - free.value) / 2**20


def used_by_all() -> float:
    """Of the whole card, before this process has a context; 0 without nvidia-smi."""
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return 0.0
    return float(told.stdout.split()[0])


if __name__ == "__main__":
    what, graph, hidden, layers, vocabulary = sys.argv[1:]
    shape = Shape("", int(hidden), int(layers), 1, int(vocabulary))
    print(json.dumps({"start": start, "shapes": shapes}[what](Path(graph), shape)))
