"""The canary of a model: short texts and their reference embeddings, for the step to compare."""

from pathlib import Path

import numpy as np

from export.reference import Reference
from export.serving import Precision
from export.steps.inference import write_canary
from export.steps.tokenization import PackedTokenizer
from export.verification import MIN_COSINE, TEXTS
from export.writing import writing

CHOSEN = TEXTS[3:11]  # sentences, code, an address, scripts: without the empty and the long ones
MOST_TOKENS = 64  # of a text, so that a large model loads no slower
SLACK = 2  # another processor or GPU rounds otherwise: so many times the distance of verification


def write(path: Path, tokenizer_json: Path, reference: Reference, precision: Precision) -> None:
    """canary.npz for the encoder's folder."""
    tokenizer = PackedTokenizer(tokenizer_json, min(reference.spec.max_length, MOST_TOKENS))
    input_ids, seq_lens = tokenizer.tokenize(list(CHOSEN))
    rows = np.split(input_ids, np.cumsum(seq_lens)[:-1])
    embeddings = np.stack([reference.embed(row) for row in rows])
    with writing(path):
        write_canary(path, rows, embeddings, 1 - SLACK * (1 - MIN_COSINE[precision]))
