"""What an output holds: whose names, whose files."""

import json
from pathlib import Path
from typing import Any

import pytest

from export.contents import check_room, ensembles, holdings
from export.errors import RepositoryConflict
from export.serving import Serving
from tests.export.exports import put, snapshot


def conflict(output: Path, served_name: str, *aliases: str) -> str:
    """What an export of this model is told."""
    before = snapshot(output)
    with pytest.raises(RepositoryConflict) as caught:
        check_room(output, Serving(served_name, aliases))
    assert before == snapshot(output)
    return str(caught.value)


@pytest.mark.parametrize(
    ("served_name", "aliases", "told"),
    [
        ("two/emb", (), "one/emb already answers to 'emb', as two/emb would: give another --serv"),
        ("emb", (), "one/emb already answers to 'emb', as emb would: give another --served-name"),
        ("x/EMB", (), "one/emb already answers to 'EMB', as x/EMB would: give another --served-"),
        ("x/quick", (), "one/emb already answers to 'quick', as x/quick would: give another --se"),
        ("x/y", ("emb",), "one/emb already answers to 'emb', as x/y would: give another --alias"),
        ("x/y", ("one/emb",), "one/emb already answers to 'one/emb', as x/y would: give another"),
        ("x/y", ("z", "Quick"), "one/emb already answers to 'Quick', as x/y would: give another"),
    ],
)
def test_a_name_that_is_or_becomes_ambiguous_is_refused(
    tmp_path: Path, served_name: str, aliases: tuple[str, ...], told: str
) -> None:
    put(tmp_path, "one/emb", "weights", "quick")

    assert conflict(tmp_path, served_name, *aliases).startswith(f"{tmp_path}: {told}")


@pytest.mark.parametrize("served_name", ["my-encoder", "my/encoder", "org/my", "my-tokenizer"])
def test_names_that_differ_live_side_by_side(tmp_path: Path, served_name: str) -> None:
    put(tmp_path, "my--x", "weights")

    check_room(tmp_path, Serving(served_name, aliases=("mine",)))


def test_a_model_may_be_exported_again_under_its_own_names(tmp_path: Path) -> None:
    manifest = put(tmp_path, "one/emb", "weights", "quick")

    held = check_room(tmp_path, Serving("one/emb", ("quick", "slow")))

    assert manifest.folders == held.folders
    assert {"one--emb"} == held.ensembles
    assert {*manifest.files, "one--emb/manifest.json"} == held.files


def test_an_ensemble_that_others_wrote_has_names_too(tmp_path: Path) -> None:
    manifest = put(tmp_path, "one/emb", "weights", "quick")
    (tmp_path / "one--emb").rename(tmp_path / "theirs")

    (theirs,) = ensembles(tmp_path)
    assert ("one/emb", "emb", "quick") == theirs.names
    assert sorted(theirs.steps) == sorted(manifest.folders - {"one--emb"})
    assert "one/emb already answers to 'one/emb'" in conflict(tmp_path, "one/emb")


@pytest.mark.parametrize(
    "config",
    [
        'platform: "ensemble"',
        "{",
        "\ud800",
        'parameters { key: "served_name" value { string_value: "a" } } '
        'parameters { key: "aliases" value { string_value: "1" } }',
        'parameters { key: "served_name" value { string_value: "a" } } '
        'parameters { key: "aliases" value { string_value: "[1]" } }',
    ],
    ids=["not-ours", "unreadable", "not-utf-8", "aliases", "numbers"],
)
def test_a_configuration_of_others_is_nobody_s_name(tmp_path: Path, config: str) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/config.pbtxt").write_bytes(config.encode(errors="surrogatepass"))

    check_room(tmp_path, Serving("a"))


def test_plain_files_in_the_output_are_nobody_s(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("of somebody")

    assert not holdings(tmp_path, Serving("a")).folders
    check_room(tmp_path, Serving("a"))


def make_file(path: Path) -> None:
    path.write_text("of somebody")


def make_folder(path: Path) -> None:
    path.mkdir()


def make_link(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("make", [make_file, make_folder, make_link])
def test_what_has_our_folder_and_is_not_ours_is_a_conflict(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "org--m")

    told = conflict(tmp_path, "org/m")

    assert f"{tmp_path}/org--m is not certainly an export of org/m: move it away" in told


def test_an_export_behind_a_link_is_not_replaced(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", "org/m")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/org--m").symlink_to(tmp_path / "elsewhere/org--m")

    assert "not certainly an export" in conflict(tmp_path / "models", "org/m")


def test_an_export_without_its_manifest_is_not_certainly_one(tmp_path: Path) -> None:
    put(tmp_path, "org/m")
    (tmp_path / "org--m/manifest.json").write_text("[")

    assert "org/m already answers to 'org/m'" in conflict(tmp_path, "org/m")


@pytest.mark.parametrize("place", ["org--m", "org--m/{version}", "{quantize}", "{quantize}/1"])
def test_a_foreign_file_among_ours_is_a_conflict(tmp_path: Path, place: str) -> None:
    manifest = put(tmp_path, "org/m")
    places = {
        "quantize": f"org--m@{manifest.edition}-quantize",
        "version": str(int(manifest.edition, 16)),
    }
    notes = tmp_path / place.format(**places) / "notes.txt"
    notes.write_text("of somebody")

    assert f"{notes} was not written by an export: move it away" == conflict(tmp_path, "org/m")


def test_what_python_caches_beside_a_step_is_no_foreign_file(tmp_path: Path) -> None:
    manifest = put(tmp_path, "org/m")
    cache = tmp_path / f"org--m@{manifest.edition}-quantize/1/__pycache__"
    cache.mkdir()
    (cache / "model.cpython-311.pyc").write_bytes(b"")

    check_room(tmp_path, Serving("org/m"))


def test_steps_that_a_killed_export_left_are_held(tmp_path: Path) -> None:
    left = put(tmp_path / "left", "org/m", "others")
    put(tmp_path / "models", "org/m")
    put(tmp_path / "models", "org/m-x")
    for step in ("encoder", "tokenizer"):
        folder = f"org--m@{left.edition}-{step}"
        (tmp_path / "left" / folder).rename(tmp_path / "models" / folder)

    held = holdings(tmp_path / "models", Serving("org/m"))

    assert {f"org--m@{left.edition}-encoder", f"org--m@{left.edition}-tokenizer"} < held.folders
    assert not [name for name in held.folders if name.startswith("org--m-x")]
    assert None is held.foreign_file(f"org--m@{left.edition}-encoder")


def test_a_folder_that_only_looks_like_a_step_is_foreign(tmp_path: Path) -> None:
    fake = tmp_path / "org--m@0123456789ab-encoder"
    fake.mkdir()
    (fake / "precious").write_text("of somebody")

    assert f"{fake}/precious was not written by an export" in conflict(tmp_path, "org/m")


@pytest.mark.parametrize("files", [{"theirs/precious": "0", "../x/y": "0"}, ["theirs"], None])
def test_a_manifest_cannot_make_an_export_s_own_what_is_not(tmp_path: Path, files: Any) -> None:
    put(tmp_path, "org/m")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/precious").write_text("of somebody")
    path = tmp_path / "org--m/manifest.json"
    manifest = json.loads(path.read_text())
    more = {**manifest["files"], **files} if isinstance(files, dict) else files
    path.write_text(json.dumps(manifest | {"files": more}))

    assert not {"theirs", "..", ""} & holdings(tmp_path, Serving("org/m")).folders


def write_as_before(output: Path, folder: str, served_name: str) -> None:
    """A repository as exports wrote it before steps had editions."""
    folders = (folder, *(f"{folder}-{step}" for step in ("tokenizer", "encoder", "quantize")))
    for name in folders:
        (output / name / "1").mkdir(parents=True)
        (output / name / "config.pbtxt").write_text(f'name: "{name}"')
    config = f'parameters {{ key: "served_name" value {{ string_value: "{served_name}" }} }}'
    (output / folder / "config.pbtxt").write_text(config)
    files = {f"{name}/config.pbtxt": "0" for name in folders}
    manifest = {"request": {"serving": {"served_name": served_name}}, "files": files}
    (output / folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("served_name", ["org/my", "org/my--big"])
def test_a_repository_of_an_earlier_version_is_replaced(tmp_path: Path, served_name: str) -> None:
    write_as_before(tmp_path, served_name.replace("/", "--"), served_name)
    (tmp_path / "theirs").mkdir()

    manifest = put(tmp_path, served_name)

    assert {*manifest.folders, "theirs"} == {path.name for path in tmp_path.iterdir()}


def test_a_step_of_an_earlier_version_is_not_taken_for_a_model(tmp_path: Path) -> None:
    write_as_before(tmp_path, "my", "my")

    assert "my-encoder is not certainly an export of my-encoder" in conflict(tmp_path, "my-encoder")
