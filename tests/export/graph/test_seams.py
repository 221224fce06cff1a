"""Exchanging the attention of an architecture, and giving it back."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from export.errors import UnsupportedModel
from export.graph.seams import packed_attention
from export.reference import load
from export.reference.model import modules
from export.translations import translated
from tests.checkpoints import make_checkpoint

SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["bert", "gemma2", "jina-v2", "mpnet", "t5", "umt5"])
def test_after_a_conversion_the_architecture_is_as_it_was(
    architecture: str, tmp_path: Path
) -> None:
    with translated(make_checkpoint(tmp_path / architecture, architecture)) as (folder, _):
        reference = load(folder)
    text = "The quick brown fox"
    before = reference.model.encode(text)

    reference.convert()

    assert (before == reference.model.encode(text)).all()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["qwen3", "embeddinggemma"])
def test_angles_that_grow_are_converted_as_they_are_below_their_growth(
    architecture: str, tmp_path: Path
) -> None:
    folder = make_checkpoint(tmp_path / architecture, architecture)
    config = json.loads((folder / "config.json").read_text())
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    if architecture == "embeddinggemma":
        rope = config["rope_parameters"] | {"full_attention": rope}
    (folder / "config.json").write_text(json.dumps(config | {"rope_parameters": rope}))
    model = load(folder).model
    before = [getattr(module, "rope_type", None) for module in model.modules()]

    load(folder).convert()
    with packed_attention(modules(model)[0].model):
        inside = [getattr(module, "rope_type", None) for module in model.modules()]

    assert "dynamic" in str(before)
    assert "dynamic" not in str(inside)
    assert before == [getattr(module, "rope_type", None) for module in model.modules()]


def test_an_error_gives_it_back_too() -> None:
    model = transformers.AutoModel.from_config(transformers.MPNetConfig(**SMALL, vocab_size=50))
    ids = torch.arange(5)[None]
    before = model.eval()(ids).last_hidden_state

    with pytest.raises(ZeroDivisionError), packed_attention(model):
        raise ZeroDivisionError

    torch.testing.assert_close(before, model(ids).last_hidden_state)


def test_an_architecture_past_the_interface_is_refused() -> None:
    config = transformers.DebertaV2Config(**SMALL, vocab_size=50)
    model = transformers.AutoModel.from_config(config)

    with (
        pytest.raises(UnsupportedModel, match="deberta-v2 does not call transformers' attention"),
        packed_attention(model),
    ):
        pass
