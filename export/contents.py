"""What an output holds already: its ensembles, what they answer to, and what exports wrote.

Nothing that is not certainly an export's is ever removed or replaced.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from export.errors import RepositoryConflict
from export.names import STEP_NAMES, names_of, step_pattern
from export.serving import Serving
from export.steps.integrity import LISTING, MANIFEST


@dataclass(frozen=True, slots=True)
class Ensemble:
    """One ensemble in the output, as its config.pbtxt says.

    names  that it answers to, the id first; none if it is no model of ours
    steps  that it refers to
    """

    folder: str
    names: tuple[str, ...]
    steps: tuple[str, ...]

    def is_of(self, served_name: str) -> bool:
        return self.names[:1] == (served_name,)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What exports of one model wrote into an output, whatever became of them.

    ensembles  folders; one, or that of an earlier version of this exporter beside it
    folders    these and those of steps, of every edition
    files      paths in the output
    """

    output: Path
    ensembles: frozenset[str]
    folders: frozenset[str]
    files: frozenset[str]

    def foreign_file(self, folder: str) -> Path | None:
        """The first file in a folder that no export wrote; what Python caches aside."""
        for path in sorted((self.output / folder).rglob("*")):
            name = path.relative_to(self.output)
            is_folder = path.is_dir() and not path.is_symlink()
            if is_folder or "__pycache__" in name.parts or name.as_posix() in self.files:
                continue
            return path
        return None


def ensembles(output: Path) -> list[Ensemble]:
    """Every ensemble whose configuration can be read."""
    found = [_read_ensemble(path) for path in sorted(output.glob("*/config.pbtxt"))]
    return [ensemble for ensemble in found if ensemble is not None]


def _read_ensemble(path: Path) -> Ensemble | None:
    try:
        text = path.read_text(encoding="utf-8")
        config = text_format.Parse(text, triton.ModelConfig(), allow_unknown_field=True)
        parameters = {key: value.string_value for key, value in config.parameters.items()}
        aliases = json.loads(parameters.get("aliases", "[]"))
    except (OSError, ValueError, text_format.ParseError):
        return None  # Triton or the gateway will say so
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        return None
    steps = tuple(step.model_name for step in config.ensemble_scheduling.step)
    names = names_of(parameters["served_name"], aliases) if "served_name" in parameters else ()
    return Ensemble(path.parent.name, names, steps) if names or steps else None


def holdings(output: Path, serving: Serving) -> Holdings:
    """What exports of a model wrote, by their manifests and by the lists in their steps."""
    written = {
        ensemble.folder: names
        for ensemble in ensembles(output)
        if ensemble.is_of(serving.served_name)
        and f"{ensemble.folder}/config.pbtxt" in (names := _manifest_files(output, ensemble.folder))
    }
    pattern = step_pattern(serving.name)
    steps = {
        path.name: _listed_files(path, match["step"])
        for path in output.iterdir()
        if (match := re.fullmatch(pattern, path.name)) and path.is_dir()
    }
    files = {name for names in (*written.values(), *steps.values()) for name in names}
    folders = {name.partition("/")[0] for name in files}
    return Holdings(
        output,
        ensembles=frozenset(written),
        folders=frozenset(folder for folder in folders if (output / folder).is_dir()),
        files=frozenset(files),
    )


def _manifest_files(output: Path, folder: str) -> set[str]:
    """What the manifest of an ensemble names of its own folders, by any version of this exporter.

    Before steps had editions they were called <folder>-<step>.
    """
    before = "|".join(f"{re.escape(folder)}-{step}" for step in STEP_NAMES)
    own = re.compile(f"{re.escape(folder)}|{before}|{step_pattern(folder)}")
    files = _read_object(output / folder / MANIFEST).get("files")
    names = files if isinstance(files, dict) else {}
    listed = {name for name in names if own.fullmatch(name.partition("/")[0])}
    return {*listed, f"{folder}/{MANIFEST}"}


def _listed_files(folder: Path, step: str) -> set[str]:
    """What the list of a step names, if it has one."""
    listing = folder / "1" / LISTING
    names = [name for name in _read_object(listing) if name.startswith(f"{step}/")]
    return {f"{folder.name}/{name.removeprefix(f'{step}/')}" for name in [*names, f"1/{LISTING}"]}


def _read_object(path: Path) -> dict[str, Any]:
    """A JSON object, empty if there is none that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def check_room(output: Path, serving: Serving) -> Holdings:
    """What exports of this model wrote, after a look at everything else in the output.

    Raises: RepositoryConflict if a name or a folder of this model is somebody else's.
    """
    held = holdings(output, serving)
    for other in ensembles(output):
        if other.folder not in held.ensembles:
            _check_names(output, serving, other)
    folder = output / serving.name
    if folder.is_symlink() or (folder.exists() and serving.name not in held.ensembles):
        raise RepositoryConflict(
            f"{folder} is not certainly an export of {serving.served_name}: move it away, or give "
            "another --served-name"
        )
    for name in sorted(held.folders):
        if foreign := held.foreign_file(name):
            raise RepositoryConflict(f"{foreign} was not written by an export: move it away")
    return held


def _check_names(output: Path, serving: Serving, other: Ensemble) -> None:
    """Raises: RepositoryConflict if a name of this model is one of the other's, in any case."""
    taken = {name.lower() for name in other.names}
    for name in names_of(serving.served_name, serving.aliases):
        if name.lower() in taken:
            option = "--alias" if name in serving.aliases else "--served-name"
            raise RepositoryConflict(
                f"{output}: {other.names[0]} already answers to {name!r}, as "
                f"{serving.served_name} would: give another {option}"
            )
