"""Reading a checkpoint's own words, and refusing what would not be served exactly."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.checkpoint import DEFAULT_CHECKPOINT, module_entries, resolve, weight_files
from export.errors import CheckpointNotFound, ExportError, UnsupportedModel

CONFIG = {
    "model_type": "bert",
    "hidden_size": 48,
    "num_attention_heads": 4,
    "max_position_embeddings": 100,
    "pad_token_id": 0,
}
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a checkpoint's JSON files; a name with None is left out."""

    def write_files(**changes: Any) -> Path:
        contents: dict[str, Any] = {
            "config": CONFIG,
            "modules": MODULES,
            "sentence_bert_config": {"max_seq_length": 64, "do_lower_case": False},
            "tokenizer_config": {"model_max_length": 80},
            "pooling": {"pooling_mode": "mean"},
        }
        for name, content in (contents | changes).items():
            path = tmp_path / ("1_Pooling/config.json" if name == "pooling" else f"{name}.json")
            path.parent.mkdir(exist_ok=True)
            if content is not None:
                path.write_text(json.dumps(content))
        (tmp_path / "model.safetensors").touch()
        return tmp_path

    return write_files


def test_modules_are_read_in_their_order(write: Write) -> None:
    folder = write()
    assert [(entry["type"], entry["path"]) for entry in MODULES] == module_entries(folder)

    (folder / "modules.json").unlink()
    assert [] == module_entries(folder)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["model.safetensors", "pytorch_model.bin"], "model.safetensors"),
        (["model.safetensors.index.json"], "model.safetensors"),
        (["pytorch_model.bin", "pytorch_model-00001-of-00001.bin"], "pytorch_model.bin"),
    ],
    ids=["both", "shards", "pickles alone"],
)
def test_safetensors_are_preferred(write: Write, files: list[str], expected: str) -> None:
    folder = write()
    (folder / "model.safetensors").unlink()
    for name in files:
        (folder / name).touch()

    assert expected == weight_files(folder)


def test_a_folder_without_weights_is_refused(write: Write) -> None:
    folder = write()
    (folder / "model.safetensors").rename(folder / "tf_model.h5")

    with pytest.raises(UnsupportedModel, match=r"no model\.safetensors and no pytorch_model\.bin"):
        weight_files(folder)


@pytest.mark.parametrize("content", ["{", '{"model_type": '])
def test_a_broken_file_is_named(write: Write, content: str) -> None:
    folder = write()
    (folder / "modules.json").write_text(content)

    with pytest.raises(ExportError, match=r"modules\.json is not JSON"):
        weight_files(folder)


@pytest.mark.parametrize(
    "content",
    [{}, "0", 7, ["Transformer"], [{"type": "a.B"}], [{"type": None, "path": ""}]],
    ids=str,
)
def test_a_list_of_modules_holds_modules(write: Write, content: Any) -> None:
    with pytest.raises(CheckpointNotFound, match=r"modules\.json is no list of modules"):
        module_entries(write(modules=content))


def test_brackets_without_end_are_no_json(write: Write) -> None:
    folder = write()
    (folder / "modules.json").write_text("[" * 100_000)

    with pytest.raises(CheckpointNotFound, match=r"modules\.json is not JSON"):
        module_entries(folder)


def test_a_folder_without_a_configuration_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFound, match=r"no config\.json"):
        weight_files(tmp_path)


def test_a_word_that_is_neither_folder_nor_hub_id_is_named() -> None:
    with pytest.raises(CheckpointNotFound, match="neither a folder nor a Hub id"):
        resolve("../no such folder")


def test_the_revision_of_a_folder_follows_its_files(write: Write) -> None:
    folder = write()
    first = resolve(str(folder)).revision
    assert first == resolve(str(folder)).revision

    (folder / "model.safetensors").write_bytes(b"other weights")

    assert first != resolve(str(folder)).revision


def test_the_default_checkpoint_needs_no_hub() -> None:
    assert "model.safetensors" == weight_files(resolve(DEFAULT_CHECKPOINT).folder)
