"""model.py of the encoder, loaded as Triton loads it: ready with the right vectors, or not."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from export import ExportOptions, Serving, export_model
from export.steps.inference import CANARY, Canary, write_canary
from export.steps.integrity import LISTING, file_sha256
from load_tests.bench.step import EncoderStep, request
from tests.checkpoints import make_checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encoder's folder of an export."""
    folder = tmp_path_factory.mktemp("step")
    checkpoint = make_checkpoint(folder / "bert", "bert")
    serving = Serving("tiny", threads=1)
    options = ExportOptions(output=folder / "models", checkpoint=str(checkpoint), serving=serving)
    export_model(options, report=lambda line: None)
    (encoder,) = (folder / "models").glob("*-encoder")
    return encoder


def test_a_step_is_ready_and_answers(exported: Path) -> None:
    step = EncoderStep(exported)
    asked = request([[2, 3, 4], [2, 5]])
    step.run([asked])
    (tensor,) = asked.answer.result().output_tensors
    assert (1, 2, 32) == tensor.as_numpy().shape


def test_other_vectors_than_the_exports_keep_a_step_from_being_ready(
    exported: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "tiny-encoder"  # without an edition, which would be another
    shutil.copytree(exported, folder)
    path = folder / "1" / CANARY
    canary = Canary(path)
    write_canary(path, canary.rows, np.roll(canary.embeddings, 1, axis=0), canary.min_cosine)
    listing = folder / "1" / LISTING
    digests = json.loads(listing.read_text()) | {f"encoder/1/{CANARY}": file_sha256(path)}
    listing.write_text(json.dumps(digests))

    with pytest.raises(Exception, match="the canary texts have cosine"):
        EncoderStep(folder)
