"""The config.json of a transformer: what it asks of an architecture, and who would read it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from export.guard import config_keys as known
from export.guard.known_keys import OWN_CODE
from export.guard.source_keys import Architecture, architecture, class_parts
from export.guard.strict_json import shown
from export.guard.verdicts import active, check_key, named, passes, refuse


def check_config(
    place: str,
    config: Mapping[str, Any],
    ignored: Collection[str] = (),
    keys: Collection[str] | None = None,
) -> None:
    """`keys` are those to be looked at, all of them if None.

    Raises: UnsupportedModel.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        refuse(place, f"model_type {shown(model_type)} names no architecture")
    for key, reason in _other_kinds(config):
        refuse(place, f"{named(key)} {shown(config[key])} {reason}")
    _check_code(place, config, model_type)
    taken = _as_loaded(model_type, config)
    known_type = architecture(taken)
    if known_type is None:
        refuse(place, f"transformers has no model_type {shown(model_type)}")
    _check_kind(place, config, known_type, taken)
    for key, value in config.items():
        if keys is None or key in keys:
            _check_one(place, key, value, config, known_type, taken, ignored)
    _check_aliases(place, config, known_type)
    for key in ("rope_parameters", "rope_scaling"):
        if active(config.get(key)) and key in known_type.keys:
            _check_rope(f"{place}: {key}", config[key], config, ignored, model_type)


def _as_loaded(model_type: str, config: Mapping[str, Any]) -> str:
    """The type whose class transformers takes."""
    if model_type == "mistral" and "layer_types" in config:
        return "ministral"
    return known.RENAMED.get(model_type, model_type)


def _check_code(place: str, config: Mapping[str, Any], model_type: str) -> None:
    """Code of the repository for what the export loads; heads of other tasks change no encoder."""
    if "auto_map" not in config or config["auto_map"] == {}:
        return
    classes = config["auto_map"]
    if not isinstance(classes, dict):
        refuse(place, f"auto_map {shown(classes)} stands where an object is expected")
    for task in known.TASKS_OF_THE_EXPORT:
        if task not in classes:
            continue
        if not isinstance(classes[task], str):
            refuse(place, f"auto_map {task} {shown(classes[task])} names no class")
        if model_type not in known.NATIVE or task == "AutoProcessor":
            refuse(place, f"auto_map {OWN_CODE.format(_class(classes[task]))}")


def _class(reference: str) -> str:
    return named(reference.replace("--", "/"))


def _other_kinds(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Keys that say what kind of model it is, where that kind is not served."""
    for key, value in config.items():
        if known.EXPERTS.fullmatch(key) and active(value) and not passes(value, (0, 1)):
            yield key, known.EXPERT
        elif key in {"lora_adaptations", *known.NOT_TEXT_KEYS} and active(value):
            yield key, known.CONFIG[key].reason


def _check_kind(
    place: str, config: Mapping[str, Any], known_type: Architecture, model_type: str
) -> None:
    defaults = known_type.defaults
    for key, value in defaults.items():
        if known.EXPERTS.fullmatch(key) and key not in config and not passes(value, (None, 0, 1)):
            refuse(place, f"model_type {model_type} {known.EXPERT}")
    if "vocab_size" not in {*defaults, *known_type.aliases}:
        refuse(place, f"model_type {model_type} {known.NOT_TEXT}")
    pair = config.get("is_encoder_decoder", defaults.get("is_encoder_decoder"))
    if pair and model_type not in known.T5_FAMILY:
        refuse(
            place,
            f"model_type {model_type} is an encoder with a decoder, and only encoders of the T5 "
            "family are served",
        )


def _check_one(
    place: str,
    key: str,
    value: Any,
    config: Mapping[str, Any],
    known_type: Architecture,
    model_type: str,
    ignored: Collection[str],
) -> None:
    old = known.OLD_KEYS.get(model_type, {}).get(key)
    if known.LAYERS.fullmatch(key) and isinstance(value, int) and value > known.MOST_LAYERS:
        refuse(place, f"{key} {value} is more layers than the {known.MOST_LAYERS} that are served")
    if key in class_parts():
        refuse(place, f"{named(key)} is a part of transformers' class, not a setting")
    if key == "auto_map":
        return
    if key in known.CONFIG:
        check_key(place, key, value, known.CONFIG[key])
    elif old or (key in known.UNREAD_ANYWHERE and key not in known_type.keys):
        _check_old(place, key, value, config, old or known.UNREAD_ANYWHERE[key], known_type)
    elif _unread(key, value, known_type) and key not in ignored:
        refuse(
            place,
            f"{named(key)} {shown(value)} is read by nobody in transformers for {model_type}; the "
            "checkpoint may mean another model",
            hint=key,
        )


def _unread(key: str, value: Any, known_type: Architecture) -> bool:
    idle = not active(value) or any(pattern.search(key) for pattern, _ in known.NEVER_ACTIVE)
    return not (
        idle
        or key in known_type.keys
        or key in known.OLD_SETTINGS
        or known.EXPERTS.fullmatch(key)  # 0 or 1 of them, or they were refused before
    )


def _check_old(
    place: str,
    key: str,
    value: Any,
    config: Mapping[str, Any],
    old: known.Old,
    known_type: Architecture,
) -> None:
    """A key that only the repository's own code reads, against what is done in its place."""
    if not active(value) or passes(value, old.values):
        return
    if old.key is None:
        refuse(place, f"{named(key)} {shown(value)} is not read by transformers, and is not done")
    taken = config.get(old.key, known_type.defaults.get(old.key, old.default))
    if not passes(value, (taken,)):
        refuse(
            place,
            f"{named(key)} {shown(value)} is not read by transformers, which takes {old.key} "
            f"{shown(taken)}: write it as {old.key}",
        )


def _check_aliases(place: str, config: Mapping[str, Any], known_type: Architecture) -> None:
    for alias, key in known_type.aliases.items():
        if alias in config and key in config and not passes(config[alias], (config[key],)):
            refuse(
                place,
                f"{alias} {shown(config[alias])} and {key} {shown(config[key])} are two names of "
                "the same",
            )


def _check_rope(
    place: str, rope: Any, config: Mapping[str, Any], ignored: Collection[str], model_type: str
) -> None:
    """Keys that the type of the rotary positions does not use, transformers passes over."""
    if not isinstance(rope, dict):
        refuse(place, f"{shown(rope)} stands where an object is expected")
    layers = [name for name, inner in rope.items() if isinstance(inner, dict)]
    if layers:
        for name in layers:
            _check_rope(f"{place}.{name}", rope[name], config, ignored, model_type)
        return
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "ntk" and model_type == "new":
        return  # of the repository's code; rewritten as linear by the export
    if not isinstance(kind, str) or kind not in known.ROPE:
        refuse(place, f"rope_type {shown(kind)} is none of {', '.join(known.ROPE)}")
    for key, value in rope.items():
        used = key in known.ROPE_COMMON or key in known.ROPE[kind] or not active(value)
        if not used and key not in ignored:
            refuse(place, f"{named(key)} {shown(value)} is not used by rope_type {kind}", hint=key)
    missing = [key for key in known.ROPE[kind] if key in {"factor"} and rope.get(key) is None]
    if missing:
        refuse(place, f"{missing[0]} is missing for rope_type {kind}")
