"""The encoder of constants takes the encoder's place, and the steps' own check finds nothing."""

import ast
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from export.names import step_folder, version_of
from export.repository import STEPS
from export.steps.batching import Batcher
from export.steps.integrity import MANIFEST, CorruptedFile, check_step
from export.steps.memory import Memory
from load_tests.host_path import constant_rows
from load_tests.host_path.repositories import NotAnExport, served_name, with_constant_rows

EDITION = "0123456789ab"
NAME = "org--model"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """What matters here of an export; its digests are nobody's."""
    repository = tmp_path / "exported"
    for step in STEPS:
        version = repository / step_folder(NAME, EDITION, step) / "1"
        version.mkdir(parents=True)
        (version / "model.py").write_text(f"# {step}")
        (version / "digests.json").write_text("{}")
        (version.parent / "config.pbtxt").write_text("kind: KIND_GPU")
    encoder = repository / step_folder(NAME, EDITION, "encoder") / "1"
    (encoder / "inference").mkdir()
    (encoder / "inference" / "cuda.py").write_text("import nothing_that_is_here")
    (encoder / "model.onnx.data").write_bytes(b"weights")
    ensemble = repository / NAME
    (ensemble / str(version_of(EDITION))).mkdir(parents=True)
    (ensemble / str(version_of(EDITION)) / ".keep").touch()
    (ensemble / "config.pbtxt").write_text(f'model_name: "{NAME}@{EDITION}-encoder"')
    request = {"serving": {"served_name": "org/model"}}
    manifest = {"edition": EDITION, "request": request, "files": {}}
    (ensemble / MANIFEST).write_text(json.dumps(manifest))
    return repository


def test_every_step_finds_its_own_files(exported: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with_constant_rows(exported, copy)
    assert served_name(copy) == "org/model"
    edition = json.loads((copy / NAME / MANIFEST).read_bytes())["edition"]
    assert edition != EDITION
    for step in STEPS:
        check_step(copy / step_folder(NAME, edition, step) / "1", step)
    encoder = copy / step_folder(NAME, edition, "encoder")
    assert (encoder / "config.pbtxt").read_text() == "kind: KIND_CPU"
    assert [path.name for path in (encoder / "1" / "inference").iterdir()] == ["__init__.py"]
    assert not list(copy.rglob("model.onnx*"))
    assert (copy / NAME / str(version_of(edition)) / ".keep").exists()
    assert f"@{edition}-encoder" in (copy / NAME / "config.pbtxt").read_text()


def test_what_is_changed_behind_it_is_found(exported: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with_constant_rows(exported, copy)
    (encoder,) = copy.glob("*-encoder")
    (encoder / "1" / "inference" / "__init__.py").write_text("")
    with pytest.raises(CorruptedFile, match="inference/__init__"):
        check_step(encoder / "1", "encoder")


def test_an_older_copy_is_replaced(exported: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with_constant_rows(exported, copy)
    with_constant_rows(exported, copy)
    assert len(list(copy.iterdir())) == 1 + len(STEPS)


def test_a_folder_without_a_model_is_refused(exported: Path, tmp_path: Path) -> None:
    shutil.rmtree(exported / NAME)
    with pytest.raises(NotAnExport, match="holds 0 exported models"):
        with_constant_rows(exported, tmp_path / "copy")


def test_it_has_every_name_that_the_step_imports() -> None:
    step = ast.parse(Path("model_repository/encoder/1/model.py").read_bytes())
    imported = {
        alias.name
        for node in ast.walk(step)
        if isinstance(node, ast.ImportFrom) and node.module == "inference"
        for alias in node.names
    }
    assert imported
    assert imported <= set(dir(constant_rows))


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_batcher_takes_it_for_an_encoder(target: str, tmp_path: Path) -> None:
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.savez(tmp_path / constant_rows.CANARY, embeddings=rows)
    if target == "cpu":
        encoder = constant_rows.open_on_cpu(tmp_path, {})
    else:
        encoder = constant_rows.open_on_gpu(tmp_path, {}, 0, EDITION)
    batcher = Batcher(encoder, 128, Memory(encoder.text_bytes, encoder.threads, 512))
    try:
        found = batcher.submit(np.zeros(9, np.int64), np.full(3, 3, np.int32)).result()
    finally:
        batcher.close()
    assert found.shape == (3, 3)
    assert {tuple(row) for row in found.tolist()} <= {(0, 1, 2), (3, 4, 5)}
