"""python -m tests.gpu.card FOLDER: what `tests.gpu.structures` made, each opened on this GPU.

Prints the canary's cosine of each, and how far a text moves in other company; exit code 1 if one
would not be ready. Needs onnxruntime-gpu, numpy and the exporter's steps, no transformers.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.steps.inference import CANARY, Canary, CudaEncoder


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.card", description=__doc__)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    failed = 0
    for folder in sorted(options.folder.iterdir()):
        try:
            print(f"{folder.name}: {opened(folder)}", flush=True)
        except Exception as error:  # the others go on
            failed += 1
            print(f"{folder.name}: {type(error).__name__}: {error}", flush=True)
    print(f"{failed} would not be ready")
    return min(failed, 1)


def opened(folder: Path) -> str:
    """Raises: WrongVectors, and whatever onnxruntime says."""
    canary, encoder = Canary(folder / CANARY), CudaEncoder(folder / "model.onnx")
    cosine = canary.check(encoder)
    together = unit(encoder.embed_beside(canary.input_ids, canary.seq_lens))
    order = np.random.default_rng(0).permutation(len(canary.rows))
    shuffled = np.concatenate([canary.rows[number] for number in order])
    moved = np.abs(unit(encoder.embed(shuffled, canary.seq_lens[order])) - together[order]).max()
    return f"cosine {cosine:.7f}, moved {moved:.0e}"


def unit(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    norms: NDArray[np.float64] = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide / np.maximum(norms, 1e-12)


if __name__ == "__main__":
    sys.exit(main())
