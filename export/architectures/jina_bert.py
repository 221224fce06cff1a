"""Jina's second BERT: ALiBi in the place of positions, and a gated feed-forward layer.

Two forms of a layer exist. The first (small, base) has one norm in the attention and one in the
feed-forward layer; the second (code) also norms queries and keys, and has both norms beside them.

Sources: Günther et al. 2023, Jina Embeddings 2, section 4; Press et al. 2022, ALiBi; the tensors
that the two checkpoints hold.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.t5.modeling_t5 import eager_attention_forward


class JinaBertConfig(PretrainedConfig):
    """What a config.json states, under BERT's names."""

    model_type = "jina_bert"

    vocab_size: int = 30528
    hidden_size: int = 512
    num_hidden_layers: int = 4
    num_attention_heads: int = 8
    intermediate_size: int = 2048
    max_position_embeddings: int = 8192
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    initializer_range: float = 0.02
    qk_norm: bool = False  # the second form


def slopes(heads: int) -> list[float]:
    """Of each head, by what its scores fall with every token of distance.

    Source: Press et al. 2022, section 3; between powers of two the authors' code takes every
    other one of the next power.
    """
    if math.log2(heads).is_integer():
        start = 2 ** (-8 / heads)
        return [start ** (head + 1) for head in range(heads)]
    lower = 2 ** math.floor(math.log2(heads))
    return slopes(lower) + slopes(2 * lower)[::2][: heads - lower]


class _Alibi(nn.Module):
    """The bias of a text's tokens, which falls with their distance on either side."""

    has_relative_attention_bias = True

    def __init__(self, config: JinaBertConfig) -> None:
        super().__init__()
        self.reach = config.max_position_embeddings
        self.slopes = slopes(config.num_attention_heads)

    def compute_bias(self, queries: int, keys: int) -> Tensor:
        """(1, heads, queries, keys)"""
        return self._of(torch.arange(keys) - torch.arange(queries)[:, None])[None]

    def table(self) -> Tensor:
        """Of the distances -R to R: (heads, 2 R + 1)."""
        return self._of(torch.arange(-self.reach, self.reach + 1))

    def _of(self, distances: Tensor) -> Tensor:
        falls = -torch.tensor(self.slopes).view(-1, *[1] * distances.ndim)
        return falls * distances.abs()


class _Attention(nn.Module):
    is_causal = False

    def __init__(self, config: JinaBertConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.config = config
        self.head = size // config.num_attention_heads
        self.scaling = self.head**-0.5
        self.query, self.key, self.value = (nn.Linear(size, size) for _ in range(3))
        if config.qk_norm:
            self.layer_norm_q = nn.LayerNorm(size, eps=config.layer_norm_eps)
            self.layer_norm_k = nn.LayerNorm(size, eps=config.layer_norm_eps)

    def forward(self, states: Tensor, **kwargs: Any) -> Tensor:
        query, key = self.query(states), self.key(states)
        if self.config.qk_norm:
            query, key = self.layer_norm_q(query), self.layer_norm_k(key)
        shape = (*states.shape[:-1], -1, self.head)
        heads = (x.view(shape).transpose(1, 2) for x in (query, key, self.value(states)))
        attend: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        attended: Tensor = attend(self, *heads, scaling=self.scaling, **kwargs)[0]
        return attended.reshape(*states.shape[:-1], -1)


class _Output(nn.Module):
    def __init__(self, config: JinaBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class _AttentionBlock(nn.Module):
    def __init__(self, config: JinaBertConfig) -> None:
        super().__init__()
        self.self = _Attention(config)
        self.output = _Output(config)

    def forward(self, states: Tensor, **kwargs: Any) -> Tensor:
        attended = self.output.dense(self.self(states, **kwargs))
        normed: Tensor = self.output.LayerNorm(attended + states)
        return normed


class _FeedForward(nn.Module):
    """The first form: its gate is the first half, and its norm is its own."""

    def __init__(self, config: JinaBertConfig) -> None:
        super().__init__()
        self.gated_layers = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.wo = nn.Linear(config.intermediate_size, config.hidden_size)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, states: Tensor) -> Tensor:
        gate, up = self.gated_layers(states).chunk(2, dim=-1)
        normed: Tensor = self.layernorm(self.wo(nn.functional.gelu(gate) * up) + states)
        return normed


class _PlainFeedForward(nn.Module):
    """The second form: its gate is the second half, and its norms are the layer's."""

    def __init__(self, config: JinaBertConfig) -> None:
        super().__init__()
        self.up_gated_layer = nn.Linear(
            config.hidden_size, 2 * config.intermediate_size, bias=False
        )
        self.down_layer = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, states: Tensor) -> Tensor:
        up, gate = self.up_gated_layer(states).chunk(2, dim=-1)
        down: Tensor = self.down_layer(up * nn.functional.gelu(gate))
        return down


class _Layer(nn.Module):
    def __init__(self, config: JinaBertConfig) -> None:
        super().__init__()
        self.attention = _AttentionBlock(config)
        self.mlp = _FeedForward(config)

    def forward(self, states: Tensor, **kwargs: Any) -> Tensor:
        fed: Tensor = self.mlp(self.attention(states, **kwargs))
        return fed


class _NormedLayer(nn.Module):
    def __init__(self, config: JinaBertConfig) -> None:
        super().__init__()
        self.attention = _AttentionBlock(config)
        self.mlp = _PlainFeedForward(config)
        self.layer_norm_1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.layer_norm_2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, states: Tensor, **kwargs: Any) -> Tensor:
        attended = self.layer_norm_1(states + self.attention(states, **kwargs))
        fed: Tensor = self.layer_norm_2(attended + self.mlp(attended))
        return fed


class _Embeddings(nn.Module):
    def __init__(self, config: JinaBertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, input_ids: Tensor) -> Tensor:
        states = self.word_embeddings(input_ids) + self.token_type_embeddings.weight[0]
        normed: Tensor = self.LayerNorm(states)
        return normed


class _Encoder(nn.Module):
    def __init__(self, config: JinaBertConfig) -> None:
        super().__init__()
        kind = _NormedLayer if config.qk_norm else _Layer
        self.layer = nn.ModuleList([kind(config) for _ in range(config.num_hidden_layers)])


class JinaBertModel(PreTrainedModel):
    """The encoder of Jina Embeddings 2."""

    config: JinaBertConfig
    config_class = JinaBertConfig
    base_model_prefix = "bert"
    _supports_sdpa = True
    _supports_attention_backend = True

    def __init__(self, config: JinaBertConfig) -> None:
        super().__init__(config)
        self.embeddings = _Embeddings(config)
        self.alibi = _Alibi(config)
        self.encoder = _Encoder(config)
        self.post_init()  # type: ignore[no-untyped-call]  # transformers' is not annotated

    def reach(self, tokens: int) -> None:
        """Let the table of biases serve texts of so many tokens."""
        self.alibi.reach = tokens

    def get_input_embeddings(self) -> nn.Module:
        """Of the words."""
        return self.embeddings.word_embeddings

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **kwargs: Any
    ) -> BaseModelOutput:
        """input_ids (N, S) int64, attention_mask (N, S) → last_hidden_state (N, S, H)."""
        states = self.embeddings(input_ids)
        bias = self.alibi.compute_bias(input_ids.shape[1], input_ids.shape[1])
        mask = None if attention_mask is None else attention_mask[:, None, None].bool()
        for layer in self.encoder.layer:
            states = layer(states, attention_mask=mask, position_bias=bias, **kwargs)
        return BaseModelOutput(last_hidden_state=states)


def register() -> None:
    """Make the architecture known to transformers' Auto classes."""
    AutoConfig.register(JinaBertConfig.model_type, JinaBertConfig, exist_ok=True)
    AutoModel.register(JinaBertConfig, JinaBertModel, exist_ok=True)
