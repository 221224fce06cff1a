"""Every name of a model, one index: what it answers to, and the folders that stand for it.

    id          what clients send as `model`        mixedbread-ai/mxbai-embed-large-v1
    short name  the id after its last slash         mxbai-embed-large-v1
    alias       a further name, by the same rule    large
    folder      the id as Triton's ensemble         mixedbread-ai--mxbai-embed-large-v1
    step        of one edition of the model         <folder>@<edition>-encoder

A slash is written `--`. A `-` beside another `-` or beside a slash is written `~`, so that a
folder can be read back: `org/my--big` is `org--my~~big`, and never `org/my/big`.
The gateway reads these in gateway/inference/names.py; a test holds the two together.
"""

import re
from collections.abc import Iterable

from export.errors import WrongOption
from export.steps.integrity import EDITION_DIGITS

STEP_NAMES = ("tokenizer", "encoder", "quantize")

_SEGMENT = "[A-Za-z0-9_][A-Za-z0-9._-]*"
_NAME = re.compile(f"{_SEGMENT}(/{_SEGMENT})*")
_LONGEST_FILE_NAME = 255  # bytes, on every file system of Linux
_LONGEST_SUFFIX = len("@") + EDITION_DIGITS + len("-") + max(map(len, STEP_NAMES))
LONGEST_FOLDER = _LONGEST_FILE_NAME - _LONGEST_SUFFIX


def check_name(name: str, option: str) -> None:
    """Whether a model can answer to a name, and a folder can carry it.

    option  what the operator would change, for the message

    Raises: WrongOption.
    """
    if not _NAME.fullmatch(name):
        raise WrongOption(
            f"{option} {name!r}: a name holds ASCII letters, digits, '.', '_' and '-', in parts "
            "between single slashes, none of which begins with '.' or '-'"
        )
    if len(folder_of(name)) > LONGEST_FOLDER:
        raise WrongOption(
            f"{option} {name[:40]!r}… is too long: its folder would have {len(folder_of(name))} "
            f"characters, at most {LONGEST_FOLDER} fit a file name"
        )


def folder_of(name: str) -> str:
    """The folder of an id, which is Triton's name of the ensemble."""
    return re.sub("-(?=[-/])|(?<=[-/])-", "~", name).replace("/", "--")


def id_of(folder: str) -> str:
    """The id that a folder stands for."""
    return folder.replace("--", "/").replace("~", "-")


def short_name(name: str) -> str:
    """An id without its organisation."""
    return name.rpartition("/")[2]


def names_of(served_name: str, aliases: Iterable[str]) -> tuple[str, ...]:
    """Everything that a model answers to, each once, the id first."""
    return tuple(dict.fromkeys([served_name, short_name(served_name), *aliases]))


def step_folder(folder: str, edition: str, step: str) -> str:
    """Triton's name of a step of one edition of a model."""
    return f"{folder}@{edition}-{step}"


def step_pattern(folder: str) -> str:
    """What the names of a model's steps match, of every edition."""
    return f"{re.escape(folder)}@(?P<edition>[0-9a-f]{{12}})-(?P<step>{'|'.join(STEP_NAMES)})"


def version_of(edition: str) -> int:
    """The version of the ensemble that serves an edition: an answer of Triton names it."""
    return int(edition, 16)
