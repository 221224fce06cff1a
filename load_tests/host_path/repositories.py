"""An exported repository → the same with an encoder of constants, sealed anew.

What the steps check at their start (export/steps/integrity.py) holds for the copy as well: it has
an edition of its own, which its folders, its ensemble and its manifest name.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from export.names import STEP_NAMES, step_folder, version_of
from export.steps.integrity import LISTING, MANIFEST, edition_of, file_sha256

CONSTANT_ROWS = Path(__file__).with_name("constant_rows.py")
WEIGHTS = "model.onnx*"


class NotAnExport(Exception):
    """A folder does not hold one exported model."""


def with_constant_rows(exported: Path, copy: Path) -> None:
    """Make the copy, in place of an older one; no GPU is needed to serve it.

    Raises: NotAnExport.
    """
    name, edition = _model_in(exported)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(
        exported, copy, ignore=shutil.ignore_patterns(WEIGHTS, "__pycache__", ".*.lock")
    )
    _replace_encoder(copy / step_folder(name, edition, "encoder"))
    _seal(copy, name, edition)


def served_name(repository: Path) -> str:
    """What clients send as `model`."""
    name, _ = _model_in(repository)
    manifest = json.loads((repository / name / MANIFEST).read_bytes())
    found: str = manifest["request"]["serving"]["served_name"]
    return found


def _model_in(repository: Path) -> tuple[str, str]:
    """Folder of the ensemble, and edition.

    Raises: NotAnExport.
    """
    manifests = list(repository.glob(f"*/{MANIFEST}"))
    if len(manifests) != 1:
        raise NotAnExport(f"{repository} holds {len(manifests)} exported models, not one")
    return manifests[0].parent.name, json.loads(manifests[0].read_bytes())["edition"]


def _replace_encoder(step: Path) -> None:
    package = step / "1" / "inference"
    shutil.rmtree(package)
    package.mkdir()
    shutil.copy(CONSTANT_ROWS, package / "__init__.py")
    config = step / "config.pbtxt"
    config.write_text(config.read_text().replace("KIND_GPU", "KIND_CPU"))


def _seal(repository: Path, name: str, old: str) -> None:
    """The steps' lists, the names of their folders, the ensemble and its manifest."""
    steps = {step: repository / step_folder(name, old, step) for step in STEP_NAMES}
    digests = {
        f"{step}/{path.relative_to(folder).as_posix()}": file_sha256(path)
        for step, folder in steps.items()
        for path in folder.rglob("*")
        if path.is_file() and path.name != LISTING
    }
    listing = f"{json.dumps(digests, indent=2, sort_keys=True)}\n".encode()
    edition = edition_of(listing)
    for step, folder in steps.items():
        (folder / "1" / LISTING).write_bytes(listing)
        folder.rename(repository / step_folder(name, edition, step))
    ensemble = repository / name
    (ensemble / str(version_of(old))).rename(ensemble / str(version_of(edition)))
    config = ensemble / "config.pbtxt"
    config.write_text(config.read_text().replace(f"@{old}-", f"@{edition}-"))
    _write_manifest(repository, ensemble / MANIFEST, edition)


def _write_manifest(repository: Path, path: Path, edition: str) -> None:
    manifest: dict[str, Any] = json.loads(path.read_bytes())
    manifest["edition"] = edition
    manifest["files"] = {
        file.relative_to(repository).as_posix(): file_sha256(file)
        for file in sorted(repository.rglob("*"))
        if file.is_file() and file != path
    }
    path.write_text(json.dumps(manifest, indent=2, sort_keys=True))
