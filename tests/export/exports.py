"""Exports without a checkpoint: every file of a model but the large ones, which are a word."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from export.checkpoint import ModelSpec
from export.contents import check_room
from export.manifest import Manifest, hash_files, write_manifest
from export.output import locked, publish, staging, sweep
from export.repository import assemble, seal, version_folder, write_step_configs, write_steps
from export.serving import Serving

SPEC = ModelSpec(architecture="bert", dimensions=384, max_length=256, pooling="mean")


def ignore(line: str) -> None:
    """A report that nobody reads."""


def stage(staged: Path, serving: Serving, weights: str = "weights") -> Manifest:
    """The folders of a model whose content is told by one word."""
    write_steps(staged)
    (version_folder(staged, "encoder") / "model.onnx").write_text(weights)
    write_step_configs(staged, SPEC, serving, windows=True)
    edition = seal(staged)
    folders = assemble(staged, SPEC, serving, revision="abc", edition=edition)
    return write_manifest_of(staged, serving, edition, folders)


def write_manifest_of(
    staged: Path, serving: Serving, edition: str, folders: Sequence[str]
) -> Manifest:
    """The manifest of staged folders, by which their steps are checked."""
    manifest = Manifest(
        request={"serving": json.loads(json.dumps(asdict(serving)))},
        revision="abc",
        edition=edition,
        weights="model.safetensors",
        versions={},
        files=hash_files(staged, folders),
        verification={},
        quality=None,
        check="",
    )
    write_manifest(staged, serving.name, manifest)
    return manifest


def put(output: Path, served_name: str, weights: str = "weights", *aliases: str) -> Manifest:
    """A model in an output, by the way that an export goes."""
    serving = Serving(served_name, aliases)
    with locked(output, ignore) as folder, staging(folder) as staged:
        manifest = stage(staged, serving, weights)
        held = check_room(folder, serving)
        publish(staged, folder, serving.name, manifest.folders)
        sweep(held, manifest.folders, staged, ignore)
    return manifest


def snapshot(repository: Path) -> dict[str, bytes]:
    """Path → content of every file."""
    return {
        path.relative_to(repository).as_posix(): path.read_bytes()
        for path in repository.rglob("*")
        if path.is_file()
    }
