"""Configurations that name code of their own, and what is read in their place."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GteConfig
from transformers.models.gte.modeling_gte import GteRotaryEmbedding

from export.errors import CheckpointNotFound, UnsupportedModel
from export.translations import translated

GTE: dict[str, Any] = {
    "model_type": "new",
    "auto_map": {
        "AutoConfig": "Alibaba-NLP/new-impl--configuration.NewConfig",
        "AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel",
    },
    "hidden_size": 64,
    "num_attention_heads": 4,
    "layer_norm_type": "layer_norm",
    "logn_attention_scale": False,
    "pack_qkv": True,
    "position_embedding_type": "rope",
    "rope_theta": 20000.0,
    "rope_scaling": {"type": "ntk", "factor": 8.0},
}
JINA: dict[str, Any] = {
    "model_type": "bert",
    "auto_map": {"AutoModel": "jinaai/jina-bert-implementation--modeling_bert.JinaBertModel"},
    "feed_forward_type": "geglu",
    "hidden_act": "gelu",
    "position_embedding_type": "alibi",
    "vocab_size": 7,
}
QWEN2: dict[str, Any] = {
    "model_type": "qwen2",
    "auto_map": {"AutoModel": "modeling_qwen.Qwen2Model"},
    "is_causal": False,
}
LLAMA: dict[str, Any] = {
    "model_type": "llama_bidirec",
    "auto_map": {"AutoModel": "llama_bidirectional_model.LlamaBidirectionalModel"},
    "pooling": "avg",
    "temperature": 0.02,
}


def read(folder: Path, config: dict[str, Any], **files: Any) -> dict[str, Any]:
    """What config.json is read as; the one of the checkpoint if it is not translated."""
    (folder / "config.json").write_text(json.dumps(config))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    with translated(folder) as (place, line):
        assert (line is None) == (place == folder)
        found: dict[str, Any] = json.loads((place / "config.json").read_text())
        return found


@pytest.mark.parametrize(
    ("config", "kind"),
    [(GTE, "gte"), (JINA, "jina_bert"), (QWEN2, "qwen2"), (LLAMA, "llama")],
    ids=["gte", "jina", "qwen2", "llama"],
)
def test_known_code_is_another_architecture(
    config: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    found = read(tmp_path, config)

    assert kind == found["model_type"]
    assert "auto_map" not in found


@pytest.mark.parametrize(
    "config",
    [
        GTE | {"position_embedding_type": "absolute"},
        GTE | {"layer_norm_type": "rms_norm"},
        GTE | {"logn_attention_scale": True},
        GTE | {"pack_qkv": False},
        GTE | {"rope_scaling": {"type": "ntk", "factor": 8.0, "mixed_b": 0.75}},
        GTE | {"rope_scaling": {"type": "yarn", "factor": 8.0}},
        GTE | {"rope_scaling": "ntk"},
        GTE | {"auto_map": {"AutoModel": "modeling.OtherModel"}},
        GTE | {"auto_map": ["modeling.NewModel"]},
        GTE | {"model_type": "bert"},
        JINA | {"position_embedding_type": "absolute"},
        JINA | {"feed_forward_type": "original"},
        JINA | {"hidden_act": "relu"},
        QWEN2 | {"is_causal": None},
        QWEN2 | {"auto_map": {"AutoModelForCausalLM": "modeling_qwen.Qwen2ForCausalLM"}},
        {"model_type": "qwen2", "is_causal": False},
    ],
    ids=lambda config: json.dumps(config)[-50:],
)
def test_what_is_not_known_stays_as_it_is(config: dict[str, Any], tmp_path: Path) -> None:
    assert config == read(tmp_path, config)


def test_ntk_scaling_keeps_its_angles(tmp_path: Path) -> None:
    """Source: NTKScalingRotaryEmbedding of vLLM: theta * f, and angles divided by f^(2/d)."""
    rope = read(tmp_path, GTE)["rope_parameters"]
    config = GteConfig(hidden_size=64, num_attention_heads=4, rope_parameters=rope)

    found = GteRotaryEmbedding(config).inv_freq

    size, theta, factor = 16, 20000.0, 8.0
    plain = (theta * factor) ** -(torch.arange(0, size, 2) / size)
    torch.testing.assert_close(found, plain / factor ** (2 / size))


def test_angles_without_scaling_stay(tmp_path: Path) -> None:
    rope = read(tmp_path, GTE | {"rope_scaling": None})["rope_parameters"]

    assert {"rope_type": "default", "rope_theta": 20000.0} == rope


@pytest.mark.parametrize(
    ("name", "qk_norm"),
    [("jina-bert-implementation", False), ("jina-bert-v2-qk-post-norm", True)],
)
def test_jinas_two_forms_are_told_apart(name: str, qk_norm: bool, tmp_path: Path) -> None:
    own = {"AutoModel": f"jinaai/{name}--modeling_bert.JinaBertModel"}

    assert qk_norm is read(tmp_path, JINA | {"auto_map": own})["qk_norm"]


def test_what_nobody_knows_is_kept_for_the_guard(tmp_path: Path) -> None:
    for config in (GTE, JINA, QWEN2, LLAMA):
        assert "x" == read(tmp_path, config | {"unheard_of": "x"})["unheard_of"]


TOKENIZER = {"added_tokens": [{"id": 9, "content": "<end>"}], "post_processor": {"type": "X"}}


@pytest.mark.parametrize(
    ("settings", "ends"),
    [
        ({"add_eos_token": True, "eos_token": "<end>"}, True),
        ({"add_eos_token": True, "eos_token": {"content": "<end>"}}, True),
        ({"add_eos_token": False, "eos_token": "<end>"}, False),
        ({"add_eos_token": True, "eos_token": "<other>"}, False),
        ({}, False),
    ],
    ids=["asked for", "as an object", "not asked for", "unknown token", "nothing said"],
)
def test_a_text_gets_the_end_that_the_tokenizers_code_adds(
    settings: dict[str, Any], ends: bool, tmp_path: Path
) -> None:
    own = {"auto_map": {"AutoTokenizer": ["tokenization_qwen.Qwen2Tokenizer", None]}}
    files = {"tokenizer": TOKENIZER, "tokenizer_config": own | settings}
    read(tmp_path, QWEN2, **files)

    with translated(tmp_path) as (place, _):
        tokenizer, config = (
            json.loads((place / f"{name}.json").read_text())
            for name in ("tokenizer", "tokenizer_config")
        )

    assert ends == (tokenizer["post_processor"]["type"] == "TemplateProcessing")
    assert ends == ("auto_map" not in config)
    assert TOKENIZER == json.loads((tmp_path / "tokenizer.json").read_text())


def test_the_other_files_are_the_checkpoints_own_until_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    read(tmp_path, GTE)

    with translated(tmp_path) as (place, line):
        assert "{}" == (place / "1_Pooling" / "config.json").read_text()
        assert (
            "Its own code, Alibaba-NLP/new-impl--modeling.NewModel, is not run: it is gte" == line
        )
    assert not place.exists()


def test_an_error_names_the_checkpoint_and_not_its_links(tmp_path: Path) -> None:
    read(tmp_path, GTE)

    with (
        pytest.raises(UnsupportedModel, match=f"^{tmp_path}/weights are odd$"),
        translated(tmp_path) as (place, _),
    ):
        raise UnsupportedModel(f"{place}/weights are odd")


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "\udcff"])
def test_what_is_no_json_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content.encode(errors="surrogateescape"))

    with pytest.raises(CheckpointNotFound, match=r"config\.json is not JSON"), translated(tmp_path):
        pass
