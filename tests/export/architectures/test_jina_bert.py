"""Jina's BERT against the plainest form of what is published of it, head by head."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear

from export.architectures.jina_bert import JinaBertConfig, JinaBertModel, slopes

HEADS, SIZE = 6, 24


def make(qk_norm: bool) -> JinaBertModel:
    torch.manual_seed(0)
    config = JinaBertConfig(
        vocab_size=50,
        hidden_size=SIZE,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        intermediate_size=40,
        max_position_embeddings=64,
        qk_norm=qk_norm,
    )
    model = JinaBertModel(config)
    model.train(mode=False)
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * 0.3
    return model


def plain(weights: dict[str, Tensor], ids: Tensor, qk_norm: bool) -> Tensor:
    """(S,) → (S, H), from the tensors alone."""

    def norm(name: str, states: Tensor) -> Tensor:
        gain, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return layer_norm(states, (SIZE,), gain, bias, 1e-12)

    def project(name: str, states: Tensor) -> Tensor:
        return linear(states, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    states = weights["embeddings.word_embeddings.weight"][ids]
    states = states + weights["embeddings.token_type_embeddings.weight"][0]
    states = norm("embeddings.LayerNorm", states)
    places = torch.arange(len(ids))
    distance = (places - places[:, None]).abs()
    for number in range(2):
        layer = f"encoder.layer.{number}"
        query, key, value = (
            project(f"{layer}.attention.self.{name}", states) for name in ("query", "key", "value")
        )
        if qk_norm:
            query = norm(f"{layer}.attention.self.layer_norm_q", query)
            key = norm(f"{layer}.attention.self.layer_norm_k", key)
        heads = []
        for head, slope in enumerate(slopes(HEADS)):
            q, k, v = (x.split(SIZE // HEADS, dim=1)[head] for x in (query, key, value))
            scores = q @ k.T / math.sqrt(SIZE // HEADS) - slope * distance
            heads.append(scores.softmax(dim=1) @ v)
        attended = project(f"{layer}.attention.output.dense", torch.cat(heads, dim=1))
        attended = norm(f"{layer}.attention.output.LayerNorm", attended + states)
        if qk_norm:
            attended = norm(f"{layer}.layer_norm_1", states + attended)
        states = feed_forward(layer, attended, norm, project, qk_norm)
    return states


def feed_forward(layer: str, states: Tensor, norm: Any, project: Any, qk_norm: bool) -> Tensor:
    if qk_norm:
        up, gate = project(f"{layer}.mlp.up_gated_layer", states).chunk(2, dim=1)
        fed: Tensor = norm(
            f"{layer}.layer_norm_2",
            states + project(f"{layer}.mlp.down_layer", up * gelu(gate)),
        )
        return fed
    gate, up = project(f"{layer}.mlp.gated_layers", states).chunk(2, dim=1)
    normed: Tensor = norm(
        f"{layer}.mlp.layernorm", project(f"{layer}.mlp.wo", gelu(gate) * up) + states
    )
    return normed


@pytest.mark.parametrize("qk_norm", [False, True], ids=["small and base", "code"])
def test_the_model_is_its_description(qk_norm: bool) -> None:
    model = make(qk_norm)
    ids = torch.randint(0, 50, (17,))

    with torch.no_grad():
        found = model(ids[None], attention_mask=torch.ones(1, 17)).last_hidden_state[0]

    weights = {name: value.detach() for name, value in model.named_parameters()}
    torch.testing.assert_close(found, plain(weights, ids, qk_norm), atol=1e-5, rtol=1e-4)


def test_padding_is_not_seen() -> None:
    model = make(qk_norm=False)
    ids = torch.randint(0, 50, (2, 9))
    mask = torch.tensor([[1] * 9, [1] * 5 + [0] * 4])

    with torch.no_grad():
        found = model(ids, attention_mask=mask).last_hidden_state[1, :5]
        alone = model(ids[1:, :5]).last_hidden_state[0]

    torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        (8, [2.0**-n for n in range(1, 9)]),
        (12, [2.0**-n for n in range(1, 9)] + [2.0 ** -(n + 0.5) for n in range(4)]),
    ],
)
def test_slopes_are_those_of_the_paper(heads: int, expected: list[float]) -> None:
    """Source: Press et al. 2022, section 3, and the code of its authors."""
    assert pytest.approx(expected) == slopes(heads)


def test_the_table_holds_the_biases_of_all_distances() -> None:
    alibi = make(qk_norm=False).alibi
    table, reach = alibi.table(), alibi.reach

    biases = alibi.compute_bias(5, 5)[0]

    for query in range(5):
        for key in range(5):
            torch.testing.assert_close(biases[:, query, key], table[:, key - query + reach])
