"""One export at a time works on an output; interrupted anywhere, nothing is lost."""

import ctypes
import errno
import fcntl
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from export import output as output_module
from export.contents import check_room, holdings
from export.errors import RepositoryConflict
from export.manifest import is_intact, read_manifest
from export.output import LOCK, locked, publish, staging, sweep
from export.serving import Serving
from tests.export.exports import ignore, put, snapshot, stage

SERVING = Serving("org/m")
DEAD = ".models.staging-0123abcd"


class Second(threading.Thread):
    """Another export into an output, which ends when it is the output's owner."""

    def __init__(self, output: Path) -> None:
        super().__init__()
        self.output, self.said, self.entered = output, list[str](), threading.Event()
        self.start()

    def run(self) -> None:
        with locked(self.output, self.said.append):
            self.entered.set()

    def waits(self) -> bool:
        return not self.entered.wait(0.2)


def test_a_second_export_waits_and_says_so(tmp_path: Path) -> None:
    with locked(tmp_path / "models", ignore):
        second = Second(tmp_path / "models")
        assert second.waits()
    second.join()
    assert [f"Waiting for another export into {tmp_path}/models"] == second.said


def test_a_link_to_the_output_is_the_output(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "link").symlink_to("models")
    with locked(tmp_path / "link", ignore) as folder:
        second = Second(tmp_path / "models")
        assert second.waits()
        assert tmp_path / "models" == folder
    second.join()


def test_an_output_that_was_given_up_meanwhile_is_made_again(tmp_path: Path) -> None:
    with locked(tmp_path / "models", ignore):
        second = Second(tmp_path / "models")
        assert second.waits()
    second.join()  # the first has removed the empty folder that it had made
    assert second.entered.is_set()
    assert not (tmp_path / "models").exists()


def test_only_what_was_made_and_is_empty_is_removed(tmp_path: Path) -> None:
    (tmp_path / "found").mkdir()
    for output in (tmp_path / "found", tmp_path / "a/b/c", tmp_path / "d/e"):
        with locked(output, ignore) as folder:
            if folder.name == "e":
                (folder / "kept").touch()

    assert ["d", "found"] == sorted(path.name for path in tmp_path.iterdir())
    assert (tmp_path / "d/e/kept").exists()


def test_a_file_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file/models"):
        with pytest.raises(NotADirectoryError) as caught, locked(output, ignore):
            pass
        assert str(tmp_path / "file") in caught.value.filename


def test_staging_lies_beside_the_output_and_is_gone_afterwards(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with staging(tmp_path / "models") as first, staging(tmp_path / "models") as second:
        assert tmp_path == first.parent == second.parent
        assert first != second
    assert ["models"] == os.listdir(tmp_path)


def test_staging_is_gone_after_an_error_too(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(FileExistsError), staging(tmp_path / "models") as staged:
        (staged / LOCK).touch(exist_ok=False)
    assert ["models"] == os.listdir(tmp_path)


@pytest.fixture
def cannot_make_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    # Patched because tests may run as root, whom no permission stops.
    def mkdir(path: Path, mode: int = 0o777) -> None:
        if path.parent.name != "models":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        os.mkdir(path, mode)

    monkeypatch.setattr(Path, "mkdir", mkdir)


@pytest.fixture
def is_mount_point(monkeypatch: pytest.MonkeyPatch) -> None:
    # Patched because mounting needs rights that tests lack.
    def rename(path: Path, target: Path) -> Path:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "rename", rename)


@pytest.mark.parametrize("obstacle", ["cannot_make_beside", "is_mount_point"])
def test_staging_lies_in_the_output_where_nothing_else_is_left(
    tmp_path: Path, obstacle: str, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "models").mkdir()
    request.getfixturevalue(obstacle)
    with staging(tmp_path / "models") as staged:
        assert tmp_path / "models" == staged.parent
        assert ["models"] == os.listdir(tmp_path)
    assert [] == os.listdir(tmp_path / "models")


@pytest.mark.parametrize("parent", [".", "models"])
@pytest.mark.parametrize("content", [[LOCK, "half"], []], ids=["staged", "just-made"])
def test_what_a_killed_export_left_is_removed(
    tmp_path: Path, parent: str, content: list[str]
) -> None:
    (tmp_path / "models").mkdir()
    left = tmp_path / parent / DEAD
    left.mkdir()
    for name in content:
        (left / name).touch()

    with staging(tmp_path / "models"):
        assert not left.exists()


@pytest.mark.parametrize(
    "name",
    [".models.staging-0123abc", ".models.staging-0123abcd.old", ".model.staging-0123abcd", "m"],
)
def test_what_is_no_leftover_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / name).mkdir()
    (tmp_path / name / LOCK).touch()
    (tmp_path / DEAD).mkdir()
    (tmp_path / DEAD / "precious").touch()  # and no lock

    with staging(tmp_path / "models"):
        pass

    assert (tmp_path / name / LOCK).exists()
    assert (tmp_path / DEAD / "precious").exists()


def test_the_staging_folder_of_a_living_export_stays(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / DEAD).mkdir()
    with (tmp_path / DEAD / LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with staging(tmp_path / "models"):
            assert (tmp_path / DEAD / LOCK).exists()


def test_a_new_edition_takes_the_place_of_the_old(tmp_path: Path) -> None:
    old, new = put(tmp_path, "org/m", "old"), put(tmp_path, "org/m", "new")

    assert old.edition != new.edition
    assert set(new.folders) == set(os.listdir(tmp_path))
    assert new == read_manifest(tmp_path, "org--m")
    assert is_intact(tmp_path, new)


def test_the_same_content_is_the_same_edition_under_any_name(tmp_path: Path) -> None:
    assert put(tmp_path, "org/m").edition == put(tmp_path, "x").edition
    assert put(tmp_path, "org/m", "weights", "alias").edition == put(tmp_path, "x").edition


def test_a_damaged_step_is_replaced_by_the_same_edition(tmp_path: Path) -> None:
    manifest = put(tmp_path, "org/m")
    damaged = tmp_path / f"org--m@{manifest.edition}-encoder/1/model.onnx"
    damaged.write_text("else")
    assert not is_intact(tmp_path, manifest)

    assert manifest == put(tmp_path, "org/m")
    assert is_intact(tmp_path, manifest)


@pytest.mark.parametrize("done", range(4))
def test_a_publication_cut_off_anywhere_leaves_the_old_edition_or_the_new(
    tmp_path: Path, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    old = put(models, "org/m", "old")
    (models / "theirs").mkdir()
    place, count = output_module._place, iter(range(10))

    # Patched because nothing from outside can strike between two renames.
    def strike(source: Path, target: Path) -> None:
        if next(count) == done:
            raise KeyboardInterrupt
        place(source, target)

    monkeypatch.setattr(output_module, "_place", strike)
    with pytest.raises(KeyboardInterrupt):
        put(models, "org/m", "new")
    monkeypatch.undo()

    assert old == read_manifest(models, "org--m")
    assert is_intact(models, old)
    new = put(models, "org/m", "newer")
    assert {*new.folders, "theirs"} == set(os.listdir(models))


def test_a_sweep_that_never_came_is_made_up_for(tmp_path: Path) -> None:
    old = put(tmp_path / "models", "org/m", "old")
    with locked(tmp_path / "models", ignore) as models, staging(models) as staged:
        new = stage(staged, SERVING, "new")
        publish(staged, models, "org--m", new.folders)  # and killed

    assert is_intact(models, new)
    held = holdings(models, SERVING)
    with staging(models) as trash:
        gone = sweep(held, new.folders, trash, ignore)

    assert old.folders - {"org--m"} == set(gone)
    assert set(new.folders) == set(os.listdir(models))


def test_a_sweep_leaves_what_others_refer_to(tmp_path: Path) -> None:
    old = put(tmp_path, "org/m", "old")
    config = (tmp_path / "org--m/config.pbtxt").read_text()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/config.pbtxt").write_text(config.replace("served_name", "name"))

    put(tmp_path, "org/m", "new")

    assert old.folders <= set(os.listdir(tmp_path))


def test_a_sweep_leaves_a_folder_with_a_foreign_file(tmp_path: Path) -> None:
    models = tmp_path / "models"
    old = put(models, "org/m")
    held = check_room(models, SERVING)
    kept = models / f"org--m@{old.edition}-encoder"
    (kept / "notes.txt").write_text("of somebody")
    said: list[str] = []

    with staging(models) as trash:
        gone = sweep(held, [], trash, said.append)

    assert [kept.name] == os.listdir(models)
    assert old.folders - {kept.name} == set(gone)
    assert [f"{kept} is left: notes.txt was not written by an export"] == said


def test_what_appears_during_an_export_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    with staging(models) as staged:
        stage(staged, SERVING)
        (models / "org--m").mkdir()
        # Patched because nothing from outside can strike between a look and a rename.
        monkeypatch.setattr(Path, "exists", lambda path: False)
        with pytest.raises(RepositoryConflict, match="org--m appeared during the export: move"):
            publish(staged, models, "org--m", ["org--m"])
        monkeypatch.undo()
    assert not os.listdir(models / "org--m")


@pytest.mark.parametrize(
    ("code", "error", "told"),
    [
        (errno.EINVAL, RepositoryConflict, r"by one rename on this file system \(EINVAL\)"),
        (errno.ENOSYS, RepositoryConflict, r"by one rename on this file system \(ENOSYS\)"),
        (errno.ENOSPC, OSError, "No space left on device: '.*/target'"),
    ],
)
def test_a_rename_that_the_system_refuses_is_told(
    tmp_path: Path, code: int, error: type[Exception], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Patched because no such file system is at hand.
    def renameat2(*arguments: object) -> int:
        ctypes.set_errno(code)
        return -1

    library = SimpleNamespace(renameat2=renameat2)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library)

    with pytest.raises(error, match=told):
        output_module._place(tmp_path / "source", tmp_path / "target")


def test_a_lock_that_the_system_refuses_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Patched because no such file system is at hand.
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)

    told = pytest.raises(OSError, match="No locks available, when locking it")
    with told as caught, locked(tmp_path, ignore):
        pass
    assert str(tmp_path) == caught.value.filename


def test_files_that_were_never_of_an_export_survive_everything(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "README.md").write_text("of somebody")
    (models / "other/1").mkdir(parents=True)
    (models / "other/config.pbtxt").write_text("of somebody")
    (models / "link").symlink_to("nowhere")
    before = snapshot(models)
    steps: list[Callable[[], object]] = [
        lambda: put(models, "org/m", "old"),
        lambda: put(models, "org/m", "new"),
        lambda: put(models, "x", "new"),
    ]

    for step in steps:
        step()

    assert before.items() <= snapshot(models).items()
    assert (models / "link").is_symlink()


def test_a_manifest_lists_every_file_of_its_model(tmp_path: Path) -> None:
    manifest = put(tmp_path, "org/m")

    assert {*manifest.files, "org--m/manifest.json"} == set(snapshot(tmp_path))
    assert json.loads((tmp_path / "org--m/manifest.json").read_text())["files"] == manifest.files
