"""The first module, if it is a Transformer: its settings, its processor and its tokenizer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from export.guard import known_keys as known
from export.guard.model_config import check_config
from export.guard.strict_json import exists, read_object, shown
from export.guard.verdicts import check_table, refuse


def check_transformer(folder: Path, path: str, ignored: Collection[str], *, saved: bool) -> None:
    prefix = f"{path}/" if path else ""
    for name in known.PROCESSOR_FILES:
        if exists(folder, prefix + name):
            refuse(prefix + name, known.PROCESSOR)
    place, overrides = _check_settings(folder, prefix, ignored) if saved else ("", {})
    config = read_object(folder, prefix + "config.json")
    check_config(prefix + "config.json", config, ignored)
    if overrides:
        check_config(place, config | overrides, ignored, set(overrides))
    if exists(folder, prefix + "tokenizer_config.json"):
        _check_tokenizer(prefix + "tokenizer_config.json", folder, ignored)


def _check_settings(
    folder: Path, prefix: str, ignored: Collection[str]
) -> tuple[str, dict[str, Any]]:
    """sentence_bert_config.json; what it changes of config.json, with its place."""
    present = [name for name in known.TRANSFORMER_FILES if exists(folder, prefix + name)]
    contents = {name: read_object(folder, prefix + name) for name in present}
    filled = [name for name in present if contents[name]]
    for name in filled[1:]:
        if prefix + name not in ignored:
            refuse(prefix + name, f"is not read beside {filled[0]}", hint=prefix + name)
    if not filled:
        return "", {}
    place, content = prefix + filled[0], contents[filled[0]]
    for old, new in known.OLD_NAMES.items():
        if old in content and new in content:
            refuse(place, f"{old} and {new} are two names of the same")
    content = {known.OLD_NAMES.get(key, key): value for key, value in content.items()}
    check_table(place, content, known.TRANSFORMER, ignored, drops=False)
    _check_modalities(place, content)
    for key, table in known.KEYWORDS.items():
        check_table(f"{place}: {key}", content.get(key, {}), table, (), drops=False)
    if not isinstance(content.get("config_kwargs", {}), dict):
        refuse(place, f"config_kwargs {shown(content['config_kwargs'])} is not an object")
    _check_processing(f"{place}: processing_kwargs", content.get("processing_kwargs") or {})
    overrides = dict(content.get("config_kwargs", {}))
    overrides.pop("trust_remote_code", None)
    return f"{place}: config_kwargs", overrides


def _check_modalities(place: str, content: Mapping[str, Any]) -> None:
    if "modality_config" not in content:
        return  # sentence-transformers takes plain text then
    modalities = content["modality_config"]
    others = sorted({*modalities} - {*known.PLAIN_TEXT}) if isinstance(modalities, dict) else []
    if "message" in others:
        refuse(place, "modality_config message puts texts through a chat template, not served")
    if others:
        refuse(place, f"modality_config {shown(others[0])} is served for text alone")
    if modalities != known.PLAIN_TEXT:
        refuse(place, f"modality_config {shown(modalities)} is not {shown(known.PLAIN_TEXT)}")
    if content.get("module_output_name") is None:
        refuse(place, "module_output_name is missing beside modality_config")


def _check_processing(place: str, processing: Mapping[str, Any]) -> None:
    check_table(place, processing, known.PROCESSING, (), drops=False)
    for kind in ("common", "text"):
        table = known.TEXT_PROCESSING
        check_table(f"{place}.{kind}", processing.get(kind) or {}, table, (), drops=False)


def _check_tokenizer(place: str, folder: Path, ignored: Collection[str]) -> None:
    content = read_object(folder, place)
    known_of_it = {key: content[key] for key in content if key in known.TOKENIZER}
    if "auto_map" in content:
        refuse(place, f"auto_map {known.OWN_CODE.format(shown(content['auto_map']))}")
    check_table(place, known_of_it, known.TOKENIZER, ignored)
    reason = known.FOREIGN_TOKENIZERS.get(str(content.get("tokenizer_class")).removesuffix("Fast"))
    if reason:
        refuse(place, f"tokenizer_class {content['tokenizer_class']} {reason}, which is not served")
