"""A file that is not the verified one is never served: the real Triton says so and ends."""

import shutil
from pathlib import Path

import pytest

from gateway.local.triton_process import TritonProcess
from gateway.local.triton_wheel import CannotServe

pytestmark = pytest.mark.triton

MODEL = "sentence-transformers--all-MiniLM-L6-v2"


@pytest.mark.parametrize(
    ("step", "file"),
    [("encoder", "model.onnx"), ("encoder", "model.onnx.data"), ("tokenizer", "tokenizer.json")],
)
def test_a_corrupted_file_is_refused_by_name(
    repository: Path, tmp_path: Path, step: str, file: str
) -> None:
    damaged = tmp_path / "models"
    for folder in repository.glob(f"{MODEL}*"):
        shutil.copytree(folder, damaged / folder.name)
    path = damaged / f"{MODEL}-{step}" / "1" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with (
        TritonProcess(damaged, tmp_path / "triton.log", tmp_path.name) as triton,
        pytest.raises(CannotServe, match=f"{file} is not the file that was verified at export"),
    ):
        triton.start()
