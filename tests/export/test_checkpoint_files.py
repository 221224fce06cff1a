"""Which files an export reads: the same of a folder as of the Hub."""

import json
from pathlib import Path

import pytest

from export.checkpoint_files import LocalFiles, digest, needed
from export.errors import CheckpointNotFound, UnsupportedModel
from tests.export.hub_models import FULL, INDEX, REPOSITORIES, Repository, content, files
from tests.export.hub_server import Commit

REFUSED = {"org/escape", "org/lost-shard"}
READABLE = {name: held for name, held in REPOSITORIES.items() if name not in REFUSED}


def write(folder: Path, held: Commit) -> Path:
    for name, given in held.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(given)
    return folder


@pytest.mark.parametrize("held", READABLE.values(), ids=READABLE)
def test_exactly_the_needed_files_are_named(held: Repository, tmp_path: Path) -> None:
    named = needed(LocalFiles(write(tmp_path / "a/b", held.files)))

    assert (sorted(held.needed), len(held.needed)) == (sorted(named), len(set(named)))


def test_the_weights_come_last(tmp_path: Path) -> None:
    assert "model.safetensors" == needed(LocalFiles(write(tmp_path, FULL.files)))[-1]


def test_a_digest_follows_every_needed_file_and_no_other(tmp_path: Path) -> None:
    folder = write(tmp_path, FULL.files)
    first = digest(folder)

    for name in FULL.others:
        (folder / name).write_bytes(b"another")
    assert first == digest(folder)

    for name in FULL.needed.keys() - {"modules.json"}:
        write(folder, {name: b"another"})
        assert first != digest(folder), name
        write(folder, {name: FULL.needed[name]})
    assert first == digest(folder)


@pytest.mark.parametrize("path", ["..", "../x", "a/../../x", "/etc", "a/.."])
def test_a_module_does_not_lead_out_of_the_checkpoint(path: str, tmp_path: Path) -> None:
    modules = [{"path": path, "type": "models.Transformer"}]
    folder = write(tmp_path, {"modules.json": json.dumps(modules).encode()})

    with pytest.raises(UnsupportedModel, match=rf"^modules\.json: path {path!r} leads out"):
        needed(LocalFiles(folder))


@pytest.mark.parametrize(
    ("held", "told"),
    [
        ({"modules.json": b"{"}, r"modules\.json is not JSON"),
        ({"modules.json": b"\xff"}, r"modules\.json is not JSON"),
        ({"modules.json": b'{"a": 1}'}, r"modules\.json is no list of modules"),
        ({"modules.json": b"[3]"}, r"modules\.json is no list of modules"),
        ({"modules.json": b'[{"type": ""}]'}, r"modules\.json is no list of modules"),
        ({INDEX: b"[]"}, "has no weight_map"),
        ({INDEX: b'{"weight_map": []}'}, "has no weight_map"),
        ({INDEX: b'{"weight_map": {"a": "../x.safetensors"}}'}, r"'\.\./x\.safetensors', which"),
        ({INDEX: b'{"weight_map": {"a": 3}}'}, "names 3, which"),
        ({"modules.json": b"[" * 100_000}, "modules.json is not JSON: maximum recursion"),
    ],
)
def test_a_list_that_cannot_be_followed_is_named(held: Commit, told: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFound, match=told):
        needed(LocalFiles(write(tmp_path, held)))


@pytest.mark.parametrize("path", ["", ".", "./"])
def test_a_module_in_the_root_is_read_there(path: str, tmp_path: Path) -> None:
    modules = [{"path": path, "type": "models.StaticEmbedding"}]
    held = {"modules.json": json.dumps(modules).encode(), "model.safetensors": content(9)}

    assert list(held) == needed(LocalFiles(write(tmp_path, held)))


def test_an_unused_index_is_left_alone(tmp_path: Path) -> None:
    held = files("config.json model.safetensors") | {INDEX: b"{"}

    assert ["config.json", "model.safetensors"] == needed(LocalFiles(write(tmp_path, held)))
