"""Provenance of one exported model: what was asked, what it was made from, what was measured."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from export.repository import STEPS
from export.steps.integrity import MANIFEST, CorruptedFile, check_files, code_files, file_sha256
from export.writing import write_file

LIBRARIES = (
    "triton-embeddings",
    *("torch", "transformers", "sentence-transformers", "tokenizers"),
    *("onnx", "onnxruntime"),
)
PACKAGES = (
    "export",
    *("export.architectures", "export.graph", "export.guard", "export.reference"),
    *("export.steps", "export.steps.batching"),
    *("export.steps.inference", "export.steps.tokenization"),
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What manifest.json holds; the same inputs give the same bytes."""

    request: dict[str, Any]
    revision: str  # of the checkpoint
    edition: str  # of what is served: the digest of the steps, which carry it in their names
    weights: str  # files of the checkpoint that hold them
    versions: dict[str, str]
    files: dict[str, str]  # path in the repository → SHA-256
    verification: dict[str, Any]
    quality: dict[str, Any] | None  # int8 against fp32, None for fp32
    check: str  # the command that repeats the verification

    @property
    def folders(self) -> frozenset[str]:
        """Of the model in the repository: the ensemble's, and those of its steps."""
        return frozenset(name.partition("/")[0] for name in self.files)


def library_versions() -> dict[str, str]:
    """Versions of what the artifacts depend on."""
    return {name: version(name) for name in LIBRARIES}


def exporter_digest() -> str:
    """SHA-256 over the exporter and the hand-written steps, so that an upgrade is noticed."""
    sources = [
        files(package).joinpath(name)
        for package in PACKAGES
        for name in sorted(path.name for path in files(package).iterdir())
        if name.endswith(".py")
    ]
    steps = files("export.model_repository")
    sources += [steps.joinpath(step, "1", "model.py") for step in sorted(STEPS)]
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def hash_files(repository: Path, folders: Iterable[str]) -> dict[str, str]:
    """Path → SHA-256 of every file in the folders of one model, its manifest aside."""
    paths = (
        path
        for folder in folders
        for path in (repository / folder).rglob("*")
        if path.is_file() and path.name != MANIFEST
    )
    return {path.relative_to(repository).as_posix(): file_sha256(path) for path in sorted(paths)}


def write_manifest(repository: Path, name: str, manifest: Manifest) -> None:
    """Write it into the ensemble's folder."""
    text = json.dumps(asdict(manifest), indent=2, sort_keys=True)
    write_file(repository / name / MANIFEST, f"{text}\n".encode())


def read_manifest(repository: Path, name: str) -> Manifest | None:
    """The manifest of a model, None if there is none that this version can read."""
    try:
        manifest = Manifest(**json.loads((repository / name / MANIFEST).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return manifest if isinstance(manifest.files, dict) and manifest.files else None


def is_intact(repository: Path, manifest: Manifest) -> bool:
    """Whether every file is the one that was verified, and no code was added to the steps."""
    code = (path for folder in manifest.folders for path in code_files(repository / folder))
    try:
        check_files(repository, manifest.files)
    except CorruptedFile:
        return False
    return all(path.relative_to(repository).as_posix() in manifest.files for path in code)
