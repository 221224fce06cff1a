"""modules.json: which modules there are, in which order, and what each is told."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from export.guard import known_keys as known
from export.guard.strict_json import exists, read, read_object, shown
from export.guard.verdicts import check_table, either, refuse


def read_modules(folder: Path, ignored: Collection[str]) -> list[tuple[str, str]]:
    """Class and folder of each module."""
    entries = read(folder, "modules.json")
    if not isinstance(entries, list) or not entries:
        refuse("modules.json", f"{shown(entries)} stands where a list of modules is expected")
    modules, names = [], []
    for number, entry in enumerate(entries):
        place = f"modules.json: entry {number}"
        check_table(place, entry, known.MODULES, ignored, needed=known.NEEDED["modules.json"])
        index = entry.get("idx", number)
        if index != number or isinstance(index, bool):
            refuse(place, f"idx is {shown(index)}, but the order of the entries counts")
        if not entry["name"] or "." in entry["name"] or entry["name"] in names:
            refuse(place, f"name {shown(entry['name'])} is empty, has a dot, or stands twice")
        names.append(entry["name"])
        modules.append((_kind(place, entry["type"]), _path(place, entry["path"])))
    return modules


def _kind(place: str, spelling: str) -> str:
    """The module class that a type means."""
    kind = known.SPELLINGS.get(spelling, spelling.rpartition(".")[2])
    ours = spelling.startswith("sentence_transformers.")
    if ours and kind in known.OTHER_MODULES:
        refuse(place, f"type {shown(spelling)} is not served: {known.OTHER_MODULES[kind]}")
    if not ours:
        refuse(place, f"type {known.OWN_CODE.format(shown(spelling))}")
    if spelling not in known.SPELLINGS:
        refuse(place, f"type {shown(spelling)} is no module that is served")
    return kind


def _path(place: str, path: str) -> str:
    windows = PureWindowsPath(path)
    if windows.anchor or ".." in windows.parts or not path.isprintable():
        refuse(place, f"path {shown(path)} leaves the checkpoint")
    return "" if path == "." else path.strip("/")


def check_order(kinds: list[str]) -> None:
    """One input module, the pooling of a transformer, and what works on its one vector."""
    if kinds[0] not in known.INPUT_MODULES:
        refuse("modules.json", f"begins with {kinds[0]}, not with {either(known.INPUT_MODULES)}")
    if kinds == ["Transformer"]:
        refuse("modules.json", "the Transformer stands alone, and gives a vector for each token")
    after = kinds[1:]
    if kinds[0] == "Transformer":
        if after[0] != "Pooling":
            refuse("modules.json", f"{after[0]} follows the Transformer, where Pooling is served")
        after = after[1:]
    for kind in after:
        if kind not in known.AFTER_POOLING:
            refuse(
                "modules.json",
                f"{kind} stands behind {' and '.join(kinds[: kinds.index(kind, 1)])}, where only "
                f"{either(known.AFTER_POOLING)} are served",
            )


def check_module(folder: Path, kind: str, path: str, ignored: Collection[str]) -> None:
    """The config.json of a module behind the first."""
    place = f"{path}/config.json" if path else "config.json"
    needed = known.NEEDED.get(kind, ())
    if not exists(folder, place) and not needed and kind != "Pooling":
        return  # all of its settings have a default
    content = read_object(folder, place)
    drops = kind in known.DROPS_STRANGERS
    check_table(place, content, known.MODULE_CONFIGS[kind], ignored, needed=needed, drops=drops)
    if kind == "Pooling":
        _check_pooling(place, content)
    activation = content.get("activation_function", "torch.nn.Tanh")
    if kind == "Dense" and not _served_activation(activation):
        refuse(place, f"activation_function {shown(activation)} is no activation that is served")


def _served_activation(activation: Any) -> bool:
    """Anything that is not of torch, sentence-transformers silently replaces by Tanh.

    Those of torch that work along a vector, Softmax for one, are not tried.
    """
    found = known.ACTIVATION.fullmatch(activation) if isinstance(activation, str) else None
    return found is not None and found[1] in known.ACTIVATIONS


def _check_pooling(place: str, config: Mapping[str, Any]) -> None:
    if not (config.get("embedding_dimension") or config.get("word_embedding_dimension")):
        refuse(place, "embedding_dimension is missing")
    old = [mode for key, mode in known.LEGACY_MODES.items() if config.get(key)]
    modes = config.get("pooling_mode", old)
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes:
        refuse(place, f"pooling_mode {shown(modes)} says not how tokens become one vector")
    for mode in modes:
        if not isinstance(mode, str) or mode not in known.MODES:
            refuse(place, f"pooling_mode {shown(mode)} is none of {', '.join(known.MODES)}")
    if old and set(old) != set(modes):
        refuse(
            place, f"pooling_mode {' + '.join(modes)} and the old flags {' + '.join(old)} differ"
        )
