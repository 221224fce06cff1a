"""A checkpoint → nothing, or the one true reason why its vectors would not be what it means.

Whatever sentence-transformers honours, the verification compares. What stops here is what neither
it nor transformers does, does silently otherwise, or decides by what happens to be installed. Only
JSON is read, before anything of the checkpoint is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from export.errors import CheckpointNotFound, UnsupportedModel
from export.guard import known_keys as known
from export.guard.modules import check_module, check_order, read_modules
from export.guard.strict_json import exists, read_object, shown
from export.guard.transformer import check_transformer
from export.guard.verdicts import check_table, either, refuse

VERSION = re.compile(r"\d+(\.\d+)*([.+-]?\w+)*")


def check(folder: Path, ignored: Collection[str] = ()) -> None:
    """Nothing of the checkpoint asks for what would not be served exactly.

    `ignored` are keys that somebody knows to change nothing though no code reads them.

    Raises: CheckpointNotFound if a file is missing or is no JSON; UnsupportedModel.
    """
    if not folder.is_dir():
        raise CheckpointNotFound(f"{folder} is no folder")
    if not exists(folder, "modules.json"):  # sentence-transformers puts a pooling behind it
        _check_adapters(folder, [""])
        check_transformer(folder, "", ignored, saved=False)
        _check_unread(folder, ignored)
        return
    modules = read_modules(folder, ignored)
    _check_adapters(
        folder, ["", *(path for _, path in modules)]
    )  # after classes of the repository's own: nobody can merge theirs
    check_order([kind for kind, _ in modules])
    for kind, path in modules:
        if kind == "Transformer":
            check_transformer(folder, path, ignored, saved=True)
        elif kind != "StaticEmbedding":  # which reads no configuration
            check_module(folder, kind, path, ignored)
    _check_sentence_transformers(folder, ignored)


def _check_adapters(folder: Path, paths: Collection[str]) -> None:
    """An adapter beside a module is applied if peft is installed; those elsewhere by nobody."""
    for path in paths:
        name = f"{path}/{known.ADAPTER_FILE}" if path else known.ADAPTER_FILE
        if exists(folder, name):
            raise UnsupportedModel(f"{name} {known.ADAPTER}")


def _check_unread(folder: Path, ignored: Collection[str]) -> None:
    """Files that sentence-transformers passes over where there is no modules.json."""
    for name in ("config_sentence_transformers.json", *known.TRANSFORMER_FILES):
        if exists(folder, name) and name not in ignored:
            refuse(name, "is not read, because there is no modules.json beside it", hint=name)
    for path in sorted(folder.glob("*_Pooling/config.json")):
        name = path.relative_to(folder).as_posix()
        if name not in ignored:
            refuse(name, "is not read, because there is no modules.json", hint=name)


def _check_sentence_transformers(folder: Path, ignored: Collection[str]) -> None:
    place = "config_sentence_transformers.json"
    if not exists(folder, place):
        return
    content = read_object(folder, place)
    check_table(place, content, known.SENTENCE_TRANSFORMERS, ignored)
    prompts = content.get("prompts", {})
    if not isinstance(prompts, dict):
        refuse(place, f"prompts {shown(prompts)} is no object")
    for name, prompt in prompts.items():
        if prompt is not None and not isinstance(prompt, str):
            refuse(place, f"prompts {shown(name)} is {shown(prompt)}, not a text")
    default = content.get("default_prompt_name")
    if default is not None and default not in {*prompts, *known.DEFAULT_PROMPTS}:
        refuse(place, f"default_prompt_name {shown(default)} is no name of prompts")
    similarity = content.get("similarity_fn_name")
    if similarity is not None and similarity not in known.SIMILARITIES:
        names = either(known.SIMILARITIES)
        refuse(place, f"similarity_fn_name {shown(similarity)} is not {names}")
    _check_versions(place, content.get("__version__", {}))


def _check_versions(place: str, versions: Any) -> None:
    """sentence-transformers compares the first with its own, and stops at what is none."""
    if not isinstance(versions, dict):
        refuse(place, f"__version__ {shown(versions)} is no object")
    version = versions.get("sentence_transformers", "0")
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        refuse(place, f"__version__ sentence_transformers {shown(version)} is no version")
