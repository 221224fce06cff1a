"""What comes out: the GPU against the same weights on the CPU provider, in every company.

numerics     the least cosine of texts of mixed lengths
composition  the most that a text of length 1 moves when it is in other company
canary       the encoder step's own check, on vectors of the CPU
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from export.steps.inference import CANARY, Canary, CpuEncoder, CudaEncoder, write_canary
from load_tests.gpu.rows import Figures
from load_tests.gpu.run import Run
from load_tests.gpu.shapes import FORMS, STANDARD, Ids, Lengths, Shape, ids_of

PARTS = ("numerics", "composition", "canary")
CANARIES = 8  # of the texts
BOUND = 0.9998  # what an export in fp16 writes into its canary

Floats = NDArray[np.float32]


def measure(run: Run) -> None:
    for shape in run.shapes:
        cases = [{"shape": shape.name, "form": form} for form in FORMS]
        if not any(run.rows.missing(part, cases) for part in PARTS):
            continue
        seq_lens, input_ids = texts(run, shape)
        with run.each(PARTS[0], {"shape": shape.name}):
            reference = CpuEncoder(run.graph(shape, STANDARD)).embed(input_ids, seq_lens)
            for form, case in zip(FORMS, cases, strict=True):
                with run.each(PARTS[0], case):
                    _measure_form(run, shape, form, (input_ids, seq_lens, reference))


def texts(run: Run, shape: Shape) -> tuple[Lengths, Ids]:
    """The shortest has one token."""
    rng = np.random.default_rng(5)
    seq_lens = rng.integers(1, run.effort.longest + 1, run.effort.texts).astype(np.int32)
    seq_lens[0], seq_lens[-1] = 1, run.effort.longest
    return seq_lens, ids_of(shape, seq_lens, rng)


def _measure_form(run: Run, shape: Shape, form: str, expected: tuple[Ids, Lengths, Floats]) -> None:
    input_ids, seq_lens, reference = expected
    encoder = CudaEncoder(run.graph(shape, form))
    found = encoder.embed(input_ids, seq_lens)
    case = {"shape": shape.name, "form": form}
    run.rows.measure("numerics", case, lambda: distances(found, reference))
    run.rows.measure("composition", case, lambda: moved(encoder, input_ids, seq_lens, found))
    run.rows.measure("canary", case, lambda: canary(encoder, input_ids, seq_lens, reference))


def distances(found: Floats, reference: Floats) -> Figures:
    cosines = (unit(found) * unit(reference)).sum(axis=1)
    return {"min_cosine": _nines(cosines.min()), "mean_cosine": _nines(cosines.mean())}


def moved(encoder: CudaEncoder, input_ids: Ids, seq_lens: Lengths, found: Floats) -> Figures:
    """In another order, in the company of half of them, and alone."""
    rows = np.split(input_ids, np.cumsum(seq_lens)[:-1])
    order = np.random.default_rng(6).permutation(len(rows))
    companies = [order, order[::2], *np.arange(len(rows))[:, np.newaxis]]
    most = 0.0
    for company in companies:
        chosen = np.concatenate([rows[number] for number in company])
        again = encoder.embed(chosen, seq_lens[company])
        most = max(most, float(np.abs(unit(again) - unit(found[company])).max()))
    return {"max_difference": most}


def canary(encoder: CudaEncoder, input_ids: Ids, seq_lens: Lengths, reference: Floats) -> Figures:
    rows = np.split(input_ids, np.cumsum(seq_lens)[:-1])[:CANARIES]
    with TemporaryDirectory() as folder:
        path = Path(folder, CANARY)
        write_canary(path, rows, reference[:CANARIES], -1.0)  # that it tells the figure
        found = Canary(path).check(encoder)
    return {"min_cosine": _nines(found), "bound": BOUND, "is_ready": found >= BOUND}


def unit(rows: Floats) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def _nines(cosine: float) -> float | str:
    """Rows have six digits."""
    return f"{cosine:.8f}" if np.isfinite(cosine) else float("nan")
