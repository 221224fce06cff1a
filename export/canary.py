"""The canary of a model: short texts of its sample, for the step to compare when it loads."""

from pathlib import Path

from export.sample import Sample
from export.serving import Precision
from export.steps.inference import CANARY, write_canary
from export.verification import MIN_COSINE
from export.writing import writing

TEXTS = 8
MOST_TOKENS = 64  # of a text, so that a large model is ready no later
SLACK = 2  # another processor or GPU rounds otherwise: so many times the distance of verification


def put_canary(folder: Path, sample: Sample, precision: Precision) -> None:
    """Beside model.onnx: the longest of the short texts, each once."""
    short = sample.shorter(MOST_TOKENS)
    different = {row.tobytes(): index for index, row in enumerate(short.rows)}.values()
    order = sorted(different, key=lambda index: -len(short.rows[index]))[:TEXTS]
    rows = [short.rows[index] for index in order]
    path = folder / CANARY
    with writing(path):
        write_canary(path, rows, short.expected[order], 1 - SLACK * (1 - MIN_COSINE[precision]))
