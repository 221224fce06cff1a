"""Instructor's pooling, which sentence-transformers knows by the name of a checkpoint alone."""

from pathlib import Path

from export.guard.modules import read_modules
from export.guard.strict_json import exists, read_object
from export.guard.verdicts import refuse

# Whose pooling sentence-transformers changes whatever the files say.
ALWAYS = tuple(f"hkunlp/instructor-{size}" for size in ("base", "large", "xl"))


def check_name(checkpoint: str, folder: Path) -> None:
    """Nobody knows of this name that the prompt is left out of the pooling.

    An export reads a folder, whose name is a commit if it comes from the Hub.

    checkpoint  as it was asked for

    Raises: CheckpointNotFound if a file is no JSON; UnsupportedModel.
    """
    name = folder.resolve().name if Path(checkpoint).is_dir() else checkpoint.rpartition("/")[2]
    if "instructor" not in name.lower() or not exists(folder, "modules.json"):
        return
    for kind, path in read_modules(folder, ()):
        place = f"{path}/config.json"
        if kind == "Pooling" and (checkpoint in ALWAYS or not _includes_prompt(folder, place)):
            refuse(
                place,
                "Instructor models leave the prompt's tokens out of the pooling, which is not "
                "served; of a model that does not, the file says include_prompt true",
            )


def _includes_prompt(folder: Path, place: str) -> bool:
    return exists(folder, place) and read_object(folder, place).get("include_prompt") is True
