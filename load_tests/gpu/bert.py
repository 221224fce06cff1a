"""A BERT of random weights in torch: what graphs are made of, and what the peers run."""

from typing import Any

import torch
from transformers import BertConfig, BertModel

from load_tests.gpu.shapes import LONGEST, Shape


def bert(shape: Shape, dtype: torch.dtype = torch.float16) -> BertModel:
    """All of its weights differ, or an exporter would make one of two."""
    config: Any = BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.hidden,
        max_position_embeddings=LONGEST,
    )
    config._attn_implementation = "sdpa"
    with torch.device("meta"):
        empty: Any = BertModel(config, add_pooling_layer=False)
    model = empty.to(dtype).to_empty(device="cpu").eval()
    model.embeddings.position_ids = torch.arange(LONGEST)[None]
    model.embeddings.token_type_ids = torch.zeros(1, LONGEST, dtype=torch.int64)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.uniform_(-0.03, 0.03).add_(float("LayerNorm.weight" in name))
    made: BertModel = model
    return made
