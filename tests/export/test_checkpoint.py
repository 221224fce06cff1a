"""Reading a checkpoint's own words, and refusing what would not be served exactly."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.checkpoint import DEFAULT_CHECKPOINT, describe, resolve
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


def test_a_checkpoint_describes_itself(write: Write) -> None:
    spec = describe(resolve(str(write())))

    assert ("bert", 48, 64, "mean") == (
        spec.architecture,
        spec.dimensions,
        spec.max_length,
        spec.pooling,
    )


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["lasttoken"]}, "last_token"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_lasttoken": True}, "last_token"),
    ],
    ids=["new", "new, a list", "old booleans", "old last token"],
)
def test_pooling_is_read_in_the_old_and_the_new_spelling(
    write: Write, config: dict[str, Any], pooling: str
) -> None:
    assert pooling == describe(resolve(str(write(pooling=config)))).pooling


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 64),
        ({"sentence_bert_config": None}, 80),
        ({"sentence_bert_config": {"max_seq_length": None}}, 80),
        ({"sentence_bert_config": None, "tokenizer_config": {"model_max_length": 1e30}}, 100),
        ({"sentence_bert_config": {"max_seq_length": 500}, "tokenizer_config": None}, 100),
        (
            {
                "config": CONFIG | {"model_type": "xlm-roberta", "pad_token_id": 1},
                "sentence_bert_config": None,
                "tokenizer_config": None,
            },
            98,
        ),
    ],
    ids=["sentence-transformers", "tokenizer", "null", "no limit", "positions", "roberta"],
)
def test_the_smallest_stated_limit_counts(
    write: Write, changes: dict[str, Any], expected: int
) -> None:
    assert expected == describe(resolve(str(write(**changes)))).max_length


def test_options_win_over_the_checkpoint(write: Write) -> None:
    spec = describe(resolve(str(write(pooling=None))), pooling="cls", max_length=32)

    assert ("cls", 32) == (spec.pooling, spec.max_length)


DENSE = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modules": [*MODULES, DENSE]}, "modules.json: 2_Dense is a Dense module"),
        ({"pooling": {"pooling_mode": "max"}}, "1_Pooling/config.json: pooling max"),
        ({"pooling": {"pooling_mode": ["cls", "mean"]}}, "pooling cls + mean"),
        ({"pooling": {}}, "pooling none"),
        ({"pooling": {"pooling_mode": "mean", "include_prompt": False}}, "include_prompt"),
        ({"pooling": None}, "give --pooling {mean,cls,last_token}"),
        ({"sentence_bert_config": {"do_lower_case": True}}, "do_lower_case"),
        ({"config": CONFIG | {"model_type": "unheard_of"}}, "'unheard_of'"),
    ],
    ids=[
        "a dense module",
        "max pooling",
        "two poolings",
        "no pooling mode",
        "prompt left out",
        "no pooling file",
        "lower casing",
        "unknown architecture",
    ],
)
def test_what_cannot_be_served_exactly_is_refused_with_its_place(
    write: Write, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UnsupportedModel) as error:
        describe(resolve(str(write(**changes))))

    assert words in str(error.value)


def test_a_long_text_of_many_heads_is_served(write: Write) -> None:
    config = CONFIG | {"max_position_embeddings": 32768, "num_attention_heads": 16}
    folder = write(config=config, sentence_bert_config=None, tokenizer_config=None)

    assert 32768 == describe(resolve(str(folder))).max_length


def test_a_length_above_the_positions_is_refused(write: Write) -> None:
    with pytest.raises(UnsupportedModel, match="100 positions, --max-length 101 is more"):
        describe(resolve(str(write())), max_length=101)


def test_only_safetensors_are_read(write: Write) -> None:
    folder = write()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    with pytest.raises(UnsupportedModel, match="can run code"):
        describe(resolve(str(folder)))


@pytest.mark.parametrize("content", ["{", '{"model_type": '])
def test_a_broken_file_is_named(write: Write, content: str) -> None:
    folder = write()
    (folder / "modules.json").write_text(content)

    with pytest.raises(ExportError, match=r"modules\.json is not JSON"):
        describe(resolve(str(folder)))


def test_a_folder_without_a_configuration_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFound, match=r"no config\.json"):
        describe(resolve(str(tmp_path)))


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
    spec = describe(resolve(DEFAULT_CHECKPOINT))

    assert ("bert", 384, 256, "mean") == (
        spec.architecture,
        spec.dimensions,
        spec.max_length,
        spec.pooling,
    )
