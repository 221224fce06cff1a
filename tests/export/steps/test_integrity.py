"""A step of a model that is not, file by file, the verified one refuses to load."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from export.names import STEP_NAMES, step_folder, version_of
from export.steps.integrity import CorruptedFile, check_files, check_step, edition_of, file_sha256
from tests.export.exports import put


class Model:
    """One exported model, whose files a test damages."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.edition = put(output, "org/m").edition

    def step(self, step: str) -> Path:
        return self.output / step_folder("org--m", self.edition, step)

    def path(self, name: str) -> Path:
        """`encoder/1/model.onnx`, `ensemble/config.pbtxt`."""
        step, _, rest = name.partition("/")
        return (self.output / "org--m" if step == "ensemble" else self.step(step)) / rest

    def refusals(self) -> dict[str, str]:
        """What each step that does not load says."""
        found = {}
        for step in STEP_NAMES:
            try:
                check_step(self.step(step) / "1", step)
            except CorruptedFile as error:
                found[step] = str(error)
        return found


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model(tmp_path)


def test_what_was_verified_loads(model: Model) -> None:
    (model.step("encoder") / "1/__pycache__").mkdir()
    (model.step("encoder") / "1/__pycache__/model.cpython-311.pyc").touch()

    assert {} == model.refusals()


CODE = [
    *(f"{step}/{name}" for step in STEP_NAMES for name in ("config.pbtxt", "1/model.py")),
    *(f"{step}/1/integrity.py" for step in STEP_NAMES),
    *(
        "tokenizer/1/tokenization/windows.py",
        "tokenizer/1/turns.py",
        "encoder/1/batching/backlog.py",
        "encoder/1/inference/cpu.py",
    ),
    *("quantize/1/quantization.py", "ensemble/config.pbtxt"),
]


@pytest.mark.parametrize("name", CODE)
def test_changed_code_or_configuration_is_refused_by_every_step(model: Model, name: str) -> None:
    with model.path(name).open("a") as file:
        file.write("# changed\n")

    changed = model.path(name).relative_to(model.output)
    told = f"{changed} is not the file that was verified at export: export the model again"
    assert dict.fromkeys(STEP_NAMES, told) == model.refusals()


@pytest.mark.parametrize("name", CODE)
def test_missing_code_or_configuration_is_refused_by_every_step(model: Model, name: str) -> None:
    model.path(name).unlink()

    told = f"{model.path(name).relative_to(model.output)} is missing: export the model again"
    assert dict.fromkeys(STEP_NAMES, told) == model.refusals()


def test_a_large_file_is_checked_by_the_step_that_loads_it(model: Model) -> None:
    model.path("encoder/1/model.onnx").write_text("else")

    assert ["encoder"] == list(model.refusals())
    assert "encoder/1/model.onnx is not the file" in model.refusals()["encoder"]


@pytest.mark.parametrize(
    "name", ["1/numbers.py", "1/quantization.so", "1/a.abi3.so", "helper.py", "1/package/x.pyc"]
)
def test_added_code_is_refused_by_every_step(model: Model, name: str) -> None:
    added = model.step("quantize") / name
    added.parent.mkdir(exist_ok=True)
    added.touch()

    told = f"{added.relative_to(model.output)} was added after the export: remove it"
    assert dict.fromkeys(STEP_NAMES, told) == model.refusals()


def test_what_python_cannot_import_may_be_added(model: Model) -> None:
    (model.step("quantize") / "1/notes.txt").touch()

    assert {} == model.refusals()


def test_a_list_that_was_changed_with_its_file_is_refused(model: Model) -> None:
    changed, listing = (
        model.path("quantize/1/quantization.py"),
        model.path("quantize/1/digests.json"),
    )
    changed.write_text("# nothing")
    digests = json.loads(listing.read_text())
    listing.write_text(json.dumps(digests | {"quantize/1/quantization.py": file_sha256(changed)}))

    assert (
        f"{model.step('quantize').name} does not hold the edition in its name"
        == (model.refusals()["quantize"])
    )
    assert set(STEP_NAMES) == set(model.refusals())


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_text("{}")


def cut_off(path: Path) -> None:
    path.write_text(path.read_text()[:-10])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (remove, "org--m/manifest.json is missing"),
        (empty, "org--m/manifest.json cannot be read"),
        (cut_off, "org--m/manifest.json cannot be read"),
    ],
)
def test_an_ensemble_that_cannot_be_checked_is_refused(
    model: Model, damage: Callable[[Path], None], told: str
) -> None:
    damage(model.path("ensemble/manifest.json"))

    refusal = f"{told}: export the model again"
    assert dict.fromkeys(STEP_NAMES, refusal) == model.refusals()


def test_a_step_without_its_list_is_refused(model: Model) -> None:
    model.path("encoder/1/digests.json").unlink()

    folder = model.step("encoder").name
    assert {"encoder": f"{folder}/1/digests.json is missing: export the model again"} == (
        model.refusals()
    )


@pytest.mark.parametrize("absent", [*STEP_NAMES[:2], "ensemble"])
def test_what_does_not_lie_beside_a_step_does_not_matter(model: Model, absent: str) -> None:
    """While an export moves the folders in, one after the other."""
    shutil.rmtree(model.path(f"{absent}/"))

    check_step(model.step("quantize") / "1", "quantize")


def test_the_ensemble_of_another_edition_does_not_matter(model: Model) -> None:
    """Steps may be loaded before the switch."""
    shutil.rmtree(model.path("ensemble/"))
    older = put(model.output.parent / "older", "org/m", "older")
    (model.output.parent / "older/org--m").rename(model.output / "org--m")

    assert older.edition != model.edition
    assert {} == model.refusals()


def test_a_step_that_was_fetched_alone_is_checked(model: Model, tmp_path: Path) -> None:
    """Triton copies a model of a bucket into a folder with a name of its own."""
    fetched = tmp_path / "folderAbC123"
    model.step("quantize").rename(fetched)
    check_step(fetched / "1", "quantize")

    (fetched / "1/quantization.py").write_text("# changed")
    with pytest.raises(CorruptedFile, match=r"^folderAbC123/1/quantization.py is not the file"):
        check_step(fetched / "1", "quantize")


def test_a_file_that_differs_or_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    digest = sha256(b"a").hexdigest()
    check_files(tmp_path, {"a": digest})

    with pytest.raises(CorruptedFile, match=r"^b is missing: export the model again$"):
        check_files(tmp_path, {"a": digest, "b": digest})
    with pytest.raises(CorruptedFile, match=r"^a is not the file that was verified at export: exp"):
        check_files(tmp_path, {"a": "0" * 64})


def test_the_edition_is_the_beginning_of_a_digest() -> None:
    assert sha256(b"list").hexdigest()[:12] == edition_of(b"list")
    assert 2**48 > version_of(edition_of(b"list"))
