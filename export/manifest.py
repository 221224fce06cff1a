"""Provenance of one exported model: what was asked, what it was made from, what was measured."""

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from export.repository import STEPS, folders_of
from export.steps.integrity import CorruptedFile, check_files, file_sha256

NAME = "manifest.json"
LIBRARIES = ("triton-embeddings", "torch", "transformers", "onnx", "onnxruntime", "tokenizers")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What manifest.json holds; the same inputs give the same bytes."""

    request: dict[str, Any]
    revision: str
    versions: dict[str, str]
    files: dict[str, str]  # path in the repository → SHA-256
    verification: dict[str, Any]
    quality: dict[str, Any] | None  # int8 against fp32, None for fp32
    check: str  # the command that repeats the verification


def library_versions() -> dict[str, str]:
    """Versions of what the artifacts depend on."""
    return {name: version(name) for name in LIBRARIES}


def exporter_digest() -> str:
    """SHA-256 over the exporter and the hand-written steps, so that an upgrade is noticed."""
    sources = [
        files(package).joinpath(name)
        for package in ("export", "export.graph", "export.steps")
        for name in sorted(path.name for path in files(package).iterdir())
        if name.endswith(".py")
    ]
    steps = files("export.model_repository")
    sources += [steps.joinpath(step, "1", "model.py") for step in sorted(STEPS)]
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def hash_files(repository: Path, name: str) -> dict[str, str]:
    """Path → SHA-256 of every file of one model, its manifest aside."""
    paths = (
        path
        for folder in folders_of(name)
        for path in (repository / folder).rglob("*")
        if path.is_file() and path.name != NAME
    )
    return {path.relative_to(repository).as_posix(): file_sha256(path) for path in sorted(paths)}


def write_manifest(repository: Path, name: str, manifest: Manifest) -> None:
    """Write it into the ensemble's folder."""
    text = json.dumps(asdict(manifest), indent=2, sort_keys=True)
    (repository / name / NAME).write_text(f"{text}\n", encoding="utf-8")


def read_manifest(repository: Path, name: str) -> Manifest | None:
    """The manifest of a model, None if there is none that this version can read."""
    try:
        return Manifest(**json.loads((repository / name / NAME).read_text(encoding="utf-8")))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def served_names(repository: Path) -> dict[str, set[str]]:
    """Folder → every name that its model answers to."""
    names = {}
    for path in sorted(repository.glob(f"*/{NAME}")):
        if manifest := read_manifest(repository, path.parent.name):
            serving = manifest.request["serving"]
            names[path.parent.name] = {serving["served_name"], *serving["aliases"]}
    return names


def is_intact(repository: Path, manifest: Manifest) -> bool:
    """Whether every file is the one that was verified."""
    try:
        check_files(repository, manifest.files)
    except CorruptedFile:
        return False
    return True
