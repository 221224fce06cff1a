"""Working memory of long texts, in a process of its own.

`python -m tests.peak_memory MODEL 2048 2` prints as JSON, in bytes: the peak while two texts of
2048 tokens run at once, what is left of it after, and what `text_bytes` says that they take.
"""

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from export.steps.inference import CpuEncoder


def measure(model: Path, tokens: int, count: int) -> dict[str, int]:
    encoder = CpuEncoder(model, threads=2)

    def embed(length: int) -> None:
        ids = np.random.default_rng(seed=0).integers(5, 200, size=length)
        encoder.embed_beside(ids, np.array([length], dtype=np.int32))

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(embed, [16] * count))
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
        list(pool.map(embed, [tokens] * count))
        return {
            "peak": resident("VmHWM") - before,
            "left": resident("VmRSS") - before,
            "expected": count * encoder.text_bytes(tokens),
        }


def resident(key: str) -> int:
    """Bytes of this process in memory: VmRSS now, VmHWM at most."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
