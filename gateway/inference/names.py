"""The names of models, as exports write them, and which of them mean one model.

    id          what clients send as `model`        mixedbread-ai/mxbai-embed-large-v1
    short name  the id after its last slash         mxbai-embed-large-v1
    alias       a further name                      large
    folder      the id as Triton's ensemble         mixedbread-ai--mxbai-embed-large-v1
    step        of one edition of the model         <folder>@<edition>-encoder

An export refuses names that two models would answer to; a repository that was filled by other
means may hold them. The rules are those of export/names.py; a test holds the two together.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

_SEGMENT = "[A-Za-z0-9_][A-Za-z0-9._-]*"
_NAME = re.compile(f"{_SEGMENT}(/{_SEGMENT})*")
_STEP = re.compile(r"(?P<folder>[^@]+)@[0-9a-f]{12}-(tokenizer|encoder|quantize)")


def check_name(name: str) -> None:
    """Whether a model may answer to this name, which ends up in logs, metrics and answers.

    Raises: ValueError.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a model")


def folder_of_step(model: str) -> str | None:
    """The folder of the model that a step belongs to; None for whatever is no step of ours."""
    match = _STEP.fullmatch(model)
    return match["folder"] if match else None


def name_edition(version: str) -> str:
    """The edition that the version of an ensemble stands for, as steps carry it in their names."""
    return f"{int(version):012x}" if version.isdecimal() else version


def short_name(name: str) -> str:
    """An id without its organisation."""
    return name.rpartition("/")[2]


def names_of(id_: str, aliases: Iterable[str]) -> tuple[str, ...]:
    """Everything that a model answers to, each once, the id first."""
    return tuple(dict.fromkeys([id_, short_name(id_), *aliases]))


class Named(Protocol):
    """What an index needs of a model."""

    @property
    def id(self) -> str: ...

    @property
    def names(self) -> tuple[str, ...]: ...


M = TypeVar("M", bound=Named)


class NameIndex(Generic[M]):
    """Name → the models that answer to it. A full id means its own model, whoever else has it."""

    def __init__(self, models: Iterable[M] = ()) -> None:
        self._ids: defaultdict[str, list[M]] = defaultdict(list)
        self._names: defaultdict[str, list[M]] = defaultdict(list)
        for model in models:
            self._ids[model.id].append(model)
            for name in model.names:
                self._names[name].append(model)

    def find(self, name: str) -> list[M]:
        """The models of this name: none, the one, or those among which a caller must choose."""
        return self._ids.get(name) or self._names.get(name, [])

    def names_of(self, model: M) -> list[str]:
        """The names that mean this model and no other."""
        return [name for name in model.names if self.find(name) == [model]]
