"""What manifest.json says, and whether the files are still those."""

import json
from pathlib import Path

import pytest

from export.manifest import hash_files, is_intact, read_manifest
from tests.export.exports import put


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    manifest = put(tmp_path, "org/m")

    assert manifest == read_manifest(tmp_path, "org--m")
    assert manifest.files == hash_files(tmp_path, manifest.folders)
    assert {"org--m", *(f"org--m@{manifest.edition}-{step}" for step in STEPS)} == manifest.folders


STEPS = ("tokenizer", "encoder", "quantize")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", "\x00", '{"request": {}}', '{"files": {}}', "null"],
)
def test_what_this_version_cannot_read_is_no_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m/manifest.json").write_text(text)

    assert read_manifest(tmp_path, "m") is None
    assert read_manifest(tmp_path, "absent") is None


@pytest.mark.parametrize("files", [None, [], {}, ["a"], 1])
def test_a_manifest_without_files_is_none(tmp_path: Path, files: object) -> None:
    put(tmp_path, "m")
    path = tmp_path / "m/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": files}))

    assert read_manifest(tmp_path, "m") is None


def test_a_model_is_intact_until_a_file_changes_or_code_is_added(tmp_path: Path) -> None:
    manifest = put(tmp_path, "m")
    step = tmp_path / f"m@{manifest.edition}-quantize/1"
    (step / "__pycache__").mkdir()
    (step / "__pycache__/model.cpython-311.pyc").touch()
    (step / "notes.txt").touch()
    assert is_intact(tmp_path, manifest)

    (step / "added.py").touch()
    assert not is_intact(tmp_path, manifest)

    (step / "added.py").unlink()
    (step / "model.py").write_text("# changed")
    assert not is_intact(tmp_path, manifest)

    (step / "model.py").unlink()
    assert not is_intact(tmp_path, manifest)
