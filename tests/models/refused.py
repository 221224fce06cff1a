"""Checkpoints that are not served, as tiny folders that tell by the same keys and tensors."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from export import ExportOptions, Serving, export_model
from export.errors import ExportError
from tests.checkpoints import (
    ARCHITECTURES,
    DECODER,
    SMALL,
    Architecture,
    byte_bpe,
    last_token_bpe,
    unigram,
    write_checkpoint,
)

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Replica:
    """How the folder of one is made."""

    kind: Architecture
    reason: str  # expression: what its refusal has to name
    files: dict[str, Any] = field(default_factory=dict)  # put over what it holds
    tensors: Callable[[Tensors], Tensors] = dict


def _without_gates(tensors: Tensors) -> Tensors:
    """Layers as in the mixture: every second one has experts, none has a gate."""
    kept = {name: value for name, value in tensors.items() if ".mlp." not in name}
    for name in ("w1", "w2"):
        kept[f"encoder.layers.1.mlp.experts.mlp.{name}"] = torch.ones(8 * 64, 32)
    kept["encoder.layers.1.mlp.router.layer.weight"] = torch.ones(8, 32)
    kept["encoder.layers.0.mlp.fc1.weight"] = torch.ones(64, 32)
    kept["encoder.layers.0.mlp.fc2.weight"] = torch.ones(32, 64)
    return kept


def _with_adapters(tensors: Tensors) -> Tensors:
    adapters = "parametrizations.weight.0.lora_A"
    return {f"roberta.{name}": value for name, value in tensors.items()} | {
        f"roberta.encoder.layers.{layer}.mixer.Wqkv.{adapters}": torch.ones(5, 4, 32)
        for layer in (0, 1)
    }


def _with_head(tensors: Tensors) -> Tensors:
    return tensors | {"linear.weight": torch.ones(64, 32)}


def _latent(tensors: Tensors) -> Tensors:
    return {f"embedding_model.{name}": value for name, value in tensors.items()} | {
        "latent_attention_model.latents": torch.ones(16, 32)
    }


def _own_module(kind: str) -> list[dict[str, Any]]:
    """modules.json whose first class is the repository's own."""
    prefix = "sentence_transformers.models"
    return [
        {"idx": 0, "name": "transformer", "path": "", "type": kind},
        {"idx": 1, "name": "pooler", "path": "1_Pooling", "type": f"{prefix}.Pooling"},
    ]


GTE_QWEN2 = ARCHITECTURES["gte-qwen2"]
REFUSED = {
    # Its pooling leaves the prompt out, which sentence-transformers knows by the name alone.
    "hkunlp/instructor-large": Replica(
        ARCHITECTURES["sentence-t5"], "prompt's tokens out of the pooling"
    ),
    "Alibaba-NLP/gte-Qwen2-7B-instruct": Replica(
        replace(GTE_QWEN2, changes=GTE_QWEN2.changes | {"is_causal": None}),
        "own code",
    ),
    "jinaai/jina-embeddings-v3": Replica(
        Architecture(
            "JinaEmbeddingsV3Config",
            SMALL,
            unigram,
            changes={
                "model_type": "xlm-roberta",
                "architectures": ["XLMRobertaModel"],
                "auto_map": {
                    "AutoConfig": "jinaai/xlm-roberta-flash-implementation--"
                    "configuration_xlm_roberta.XLMRobertaFlashConfig",
                    "AutoModel": "jinaai/xlm-roberta-flash-implementation--"
                    "modeling_lora.XLMRobertaLoRA",
                },
                "lora_adaptations": ["retrieval.query", "retrieval.passage", "text-matching"],
                "position_embedding_type": "rotary",
                "rotary_emb_base": 20000.0,
            },
        ),
        "own code",
        {"modules.json": _own_module("custom_st.Transformer")},
        _with_adapters,
    ),
    "jinaai/jina-embeddings-v4": Replica(
        Architecture(
            "Qwen2Config",
            DECODER,
            last_token_bpe,
            changes={
                "model_type": "qwen2_5_vl",
                "architectures": ["JinaEmbeddingsV4Model"],
                "auto_map": {
                    "AutoConfig": "configuration_jina_embeddings_v4.JinaEmbeddingsV4Config",
                    "AutoModel": "modeling_jina_embeddings_v4.JinaEmbeddingsV4Model",
                },
                "vision_config": {"model_type": "qwen2_5_vl", "depth": 2, "hidden_size": 32},
                "single_vector_pool_strategy": "mean",
            },
        ),
        "own code",
        {
            "modules.json": _own_module("custom_st.Transformer"),
            "adapters/adapter_config.json": {"peft_type": "LORA", "r": 4},
            "preprocessor_config.json": {"image_processor_type": "Qwen2VLImageProcessor"},
        },
    ),
    "nomic-ai/nomic-embed-text-v2-moe": Replica(
        replace(
            ARCHITECTURES["nomic-bert"],
            changes=ARCHITECTURES["nomic-bert"].changes
            | {
                "activation_function": "gelu",
                "moe_every_n_layers": 2,
                "moe_top_k": 2,
                "num_experts": 8,
            },
        ),
        "experts",
        tensors=_without_gates,
    ),
    "nvidia/NV-Embed-v2": Replica(
        Architecture(
            "MistralConfig",
            DECODER,
            byte_bpe,
            changes={
                "model_type": "nvembed",
                "architectures": ["NVEmbedModel"],
                "auto_map": {
                    "AutoConfig": "configuration_nvembed.NVEmbedConfig",
                    "AutoModel": "modeling_nvembed.NVEmbedModel",
                },
                "latent_attention_config": {"model_type": "latent_attention"},
                "text_config": {"model_type": "bidir_mistral"},
            },
        ),
        "own code",
        tensors=_latent,
    ),
    "voyageai/voyage-4-nano": Replica(
        Architecture(
            "Qwen3Config",
            DECODER,
            last_token_bpe,
            changes={
                "auto_map": {"AutoModel": "modeling_qwen3_bidirectional.Qwen3BidirectionalModel"},
                "num_labels": 64,
                "use_bidirectional_attention": True,
            },
        ),
        "own code",
        tensors=_with_head,
    ),
}


def refusal(checkpoint: str, folder: Path) -> str | None:
    """The sentence with which the exporter refuses a replica; None if it serves it."""
    replica = write_replica(folder / checkpoint, REFUSED[checkpoint])
    serving = Serving(served_name=checkpoint)
    options = ExportOptions(output=folder / "models", checkpoint=str(replica), serving=serving)
    try:
        export_model(options, report=lambda line: None)
    except ExportError as error:
        return str(error).replace(str(replica), checkpoint)
    return None


def write_replica(folder: Path, replica: Replica) -> Path:
    write_checkpoint(folder, replica.kind)
    weights = folder / "model.safetensors"
    save_file(replica.tensors(dict(load_file(weights))), weights)
    for name, content in replica.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return folder
