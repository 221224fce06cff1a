"""A file that is not the verified one is never served: the real Triton says so and ends."""

import shutil
from pathlib import Path

import pytest

from gateway.local.triton_process import TritonProcess
from gateway.local.triton_wheel import CannotServe

pytestmark = pytest.mark.triton

MODEL = "sentence-transformers--all-MiniLM-L6-v2"


@pytest.fixture
def damaged(repository: Path, tmp_path: Path) -> Path:
    """A copy of one model, to be damaged."""
    for folder in repository.glob(f"{MODEL}*"):
        shutil.copytree(folder, tmp_path / "models" / folder.name)
    return tmp_path / "models"


def refusal(repository: Path) -> str:
    """Why Triton does not serve."""
    log = repository.with_name("triton.log")
    with (
        TritonProcess(repository, log, repository.parent.name) as triton,
        pytest.raises(CannotServe) as caught,
    ):
        triton.start()
    return str(caught.value)


@pytest.mark.parametrize(
    "file",
    [
        "@*-encoder/1/model.onnx",
        "@*-encoder/1/model.onnx.data",
        "@*-encoder/config.pbtxt",
        "@*-tokenizer/1/tokenizer.json",
        "@*-quantize/1/quantization.py",
        "@*-quantize/1/model.py",
        "/config.pbtxt",
    ],
)
def test_a_changed_file_is_refused_by_name(damaged: Path, file: str) -> None:
    (path,) = damaged.glob(f"{MODEL}{file}")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if path.suffix in (".py", ".pbtxt"):  # as somebody would change it, and still readable
        content = bytearray(path.read_bytes() + b"\n# a comment\n")
    path.write_bytes(content)

    told = f"{path.relative_to(damaged)} is not the file that was verified at export"
    assert told in refusal(damaged)


def test_a_missing_module_is_refused_by_name(damaged: Path) -> None:
    (path,) = damaged.glob(f"{MODEL}@*-quantize/1/quantization.py")
    path.unlink()

    assert f"{path.relative_to(damaged)} is missing: export the model again" in refusal(damaged)


def test_an_added_module_is_refused_by_name(damaged: Path) -> None:
    (folder,) = damaged.glob(f"{MODEL}@*-encoder/1")
    (folder / "sitecustomize.py").write_text("")

    added = f"{folder.relative_to(damaged)}/sitecustomize.py"
    assert f"{added} was added after the export: remove it" in refusal(damaged)


def test_a_step_that_checks_nothing_any_more_is_found_by_the_others(damaged: Path) -> None:
    (path,) = damaged.glob(f"{MODEL}@*-quantize/1/model.py")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("check_step(")))

    told = f"{path.relative_to(damaged)} is not the file that was verified at export"
    assert told in refusal(damaged)
