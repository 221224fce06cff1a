"""Tiny random checkpoints, one an architecture, as sentence-transformers lays them out."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoModel, PretrainedConfig, PreTrainedTokenizerFast, T5EncoderModel

from export.architectures.jina_bert import JinaBertConfig, register
from export.checkpoint import POOLINGS, PoolingOption

register()

CORPUS = [
    "The quick brown fox jumps over the lazy dog, again and again and again.",
    "one two three four five six seven eight nine ten word0 word1 word2 word3",
    "Why is bread so tasty? Because of the crust, said the baker to the other baker.",
    "Donaudampfschifffahrt ist ein langes Wort; Elektrizität auch.",
    "面包为什么这么好吃 パンはなぜおいしいのですか 빵은 왜 맛있어요",
]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]  # ids 0 to 4


@dataclass(frozen=True)
class Architecture:
    """How one tiny checkpoint is made."""

    config: str  # class of transformers
    options: dict[str, Any]
    tokenizer: Callable[[], Tokenizer]
    pooling: str | None = "mean"  # as sentence-transformers writes it; None: no transformer
    max_length: int = 64  # tokens of a text
    dense: tuple[dict[str, Any], ...] = ()  # its options, a module each
    lower: bool = False  # do_lower_case
    settings: dict[str, Any] = field(default_factory=dict)  # config_sentence_transformers.json
    changes: dict[str, Any] = field(default_factory=dict)  # of config.json, None removes a key
    tokenizer_changes: dict[str, Any] = field(default_factory=dict)
    weights: str = "safetensors"
    modules: bool = True  # without their list, --pooling says what is done
    normalized: bool = False  # a Normalize at the end
    encoder_only: bool = False  # of T5

    @property
    def pooling_option(self) -> PoolingOption | None:
        """What --pooling has to say; None if the checkpoint says it."""
        if self.modules:
            return None
        return next(option for option, mode in POOLINGS.items() if mode == self.pooling)


def wordpiece() -> Tokenizer:
    """As BERT: lower case, [CLS] text [SEP]."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIALS)
    return _finish(tokenizer, trainer, "[CLS] $A [SEP]")


def byte_bpe(template: str = "[CLS] $A [SEP]") -> Tokenizer:
    """As RoBERTa, ModernBERT and Qwen: every byte has a token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIALS, initial_alphabet=alphabet
    )
    return _finish(tokenizer, trainer, template)


def last_token_bpe() -> Tokenizer:
    """As Qwen3-Embedding: one special token, at the end."""
    return byte_bpe("$A [SEP]")


def unfinished_bpe() -> Tokenizer:
    """As gte-Qwen2: its own code puts a special token at the end, its file does not."""
    tokenizer = byte_bpe()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def unigram() -> Tokenizer:
    """As XLM-RoBERTa."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=SPECIALS, unk_token="[UNK]")
    return _finish(tokenizer, trainer, "[CLS] $A [SEP]")


def _finish(tokenizer: Tokenizer, trainer: Any, template: str) -> Tokenizer:
    trainer.show_progress = False
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 80,
}
DISTILBERT = {
    "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 80
}  # fmt: skip
DECODER = SMALL | {"num_key_value_heads": 2, "head_dim": 16}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
JINA = {
    "model_type": "bert", "qk_norm": None, "position_embedding_type": "alibi",
    "feed_forward_type": "geglu", "emb_pooler": "mean", "hidden_act": "gelu",
}  # fmt: skip
IDENTITY = "torch.nn.modules.linear.Identity"
INSTRUCTION = "Instruct: Given a web search query, retrieve relevant passages that answer the query"


def prompts(**texts: str) -> dict[str, Any]:
    """What config_sentence_transformers.json says of them."""
    return {"prompts": texts, "default_prompt_name": None}


# Of Alibaba's code, from before transformers took it over.
GTE = {
    "rope_parameters": None,
    "position_embedding_type": "rope",
    "layer_norm_type": "layer_norm",
    "logn_attention_scale": False,
    "logn_attention_clip1": False,
    "pack_qkv": True,
    "unpad_inputs": False,
    "use_memory_efficient_attention": False,
}
GTE_NEW = GTE | {
    "model_type": "new",
    "rope_theta": 20000.0,
    "rope_scaling": {"type": "ntk", "factor": 8.0},
    "auto_map": {
        "AutoConfig": "Alibaba-NLP/new-impl--configuration.NewConfig",
        "AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel",
    },
}
GTE_NATIVE = GTE | {
    "rope_theta": 160000.0,
    "auto_map": {
        "AutoConfig": "configuration_hf_alibaba_nlp_gte.GteConfig",
        "AutoModel": "modeling_hf_alibaba_nlp_gte.GteModel",
    },
}
# transformers saves the tensors of these two under the names of their repositories' code.
NOMIC = {
    "rope_parameters": None,
    "activation_function": "swiglu",
    "layer_norm_epsilon": 1e-12,
    "max_trained_positions": 2048,
    "n_embd": 32,
    "n_head": 4,
    "n_inner": 64,
    "n_layer": 2,
    "n_positions": 8192,
    "rotary_emb_base": 1000,
    "rotary_emb_fraction": 1.0,
    "auto_map": {
        "AutoConfig": "nomic-ai/nomic-bert-2048--configuration_hf_nomic_bert.NomicBertConfig",
        "AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel",
    },
}
QWEN2_CODE = {
    "is_causal": False, "auto_map": {"AutoModel": "modeling_qwen.Qwen2Model"}
}  # fmt: skip
QWEN2_TOKENIZER = {
    "add_eos_token": True,
    "eos_token": "[SEP]",
    "auto_map": {"AutoTokenizer": ["tokenization_qwen.Qwen2Tokenizer", None]},
}
STELLA = prompts(
    s2p_query=f"{INSTRUCTION}.\nQuery: ",
    s2s_query="Instruct: Retrieve semantically similar text.\nQuery: ",
)
ARCHITECTURES = {
    "bert": Architecture("BertConfig", SMALL, wordpiece),
    "bert-cls": Architecture(
        "BertConfig",
        SMALL,
        wordpiece,
        "cls",
        settings=prompts(query="Represent this sentence for searching relevant passages: "),
    ),
    # Positions from padding_idx + 1 = 1 on, in a table of 80.
    "roberta": Architecture("RobertaConfig", SMALL, byte_bpe),
    "xlm-roberta": Architecture("XLMRobertaConfig", SMALL, unigram, "cls"),
    "distilbert": Architecture(
        "DistilBertConfig",
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 80},
        wordpiece,
    ),
    # Layers 0 and 3 global, the others local: every distance of the window is met.
    "modernbert": Architecture(
        "ModernBertConfig",
        SMALL | {"num_hidden_layers": 4, "local_attention": 16, "max_position_embeddings": 128},
        byte_bpe,
        max_length=100,
    ),
    "nomic-bert": Architecture("NomicBertConfig", SMALL, wordpiece, changes=NOMIC),
    "qwen3": Architecture(
        "Qwen3Config",
        SMALL | {"num_key_value_heads": 2, "head_dim": 16},
        last_token_bpe,
        "lasttoken",
        settings=prompts(query=f"{INSTRUCTION}\nQuery:", document=""),
    ),
    # Positions from padding_idx + 1 = 2 on.
    "mpnet": Architecture("MPNetConfig", SMALL, wordpiece),
    "t5": Architecture(
        "T5Config",
        T5,
        unigram,
        dense=({"out_features": 24, "bias": False, "activation_function": IDENTITY},),
    ),
    "t5-gated": Architecture("T5Config", T5 | {"feed_forward_proj": "gated-gelu"}, unigram),
    "umt5": Architecture("UMT5Config", T5, unigram),
    "gemma2": Architecture(
        "Gemma2Config",
        DECODER | {"sliding_window": 16, "query_pre_attn_scalar": 16},
        last_token_bpe,
        "lasttoken",
    ),
    # Layers of both kinds, both ways, and two Dense modules without activation.
    "embeddinggemma": Architecture(
        "Gemma3TextConfig",
        DECODER
        | {
            "num_hidden_layers": 3,
            "sliding_window": 16,
            "use_bidirectional_attention": True,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
        byte_bpe,
        dense=(
            {"out_features": 96, "bias": False, "activation_function": IDENTITY},
            {"out_features": 32, "bias": False, "activation_function": IDENTITY},
        ),
        settings=prompts(query="task: search result | query: ", document="title: none | text: "),
    ),
    "labse": Architecture("BertConfig", SMALL, wordpiece, "cls", dense=({"out_features": 32},)),
    "distiluse": Architecture(
        "DistilBertConfig", DISTILBERT, wordpiece, dense=({"out_features": 16},)
    ),
    "bge": Architecture("BertConfig", SMALL, wordpiece, "cls", lower=True),
    "lower": Architecture("RobertaConfig", SMALL, byte_bpe, lower=True),
    "bge-m3": Architecture("XLMRobertaConfig", SMALL, unigram, "cls", weights="bin"),
    "max": Architecture("BertConfig", SMALL, wordpiece, "max"),
    "weightedmean": Architecture(
        "MistralConfig", DECODER | {"sliding_window": 16}, byte_bpe, "weightedmean"
    ),
    "mean_sqrt": Architecture("BertConfig", SMALL, wordpiece, "mean_sqrt_len_tokens"),
    "qwen2-bidirectional": Architecture(
        "Qwen2Config",
        DECODER | {"vocab_size": 450},
        last_token_bpe,
        "lasttoken",
        changes={"is_causal": False},
    ),
    "default-prompt": Architecture(
        "BertConfig",
        SMALL,
        wordpiece,
        settings={
            "prompts": {"query": "query: "},
            "default_prompt_name": "query",
            "similarity_fn_name": "dot",
        },
    ),
    # Token types that it is given, it takes for words.
    "gpt2": Architecture(
        "GPT2Config",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 80},
        last_token_bpe,
        "lasttoken",
    ),
    "gte": Architecture("GteConfig", SMALL, unigram, "cls"),
    "llama": Architecture("LlamaConfig", DECODER, last_token_bpe, "mean"),
    "electra": Architecture("ElectraConfig", SMALL | {"embedding_size": 16}, wordpiece),
    "albert": Architecture("AlbertConfig", SMALL | {"embedding_size": 16}, unigram),
    "camembert": Architecture("CamembertConfig", SMALL, unigram),
    "eurobert": Architecture("EuroBertConfig", SMALL, byte_bpe),
    "jina-v3-hf": Architecture("JinaEmbeddingsV3Config", SMALL, unigram),
    "gte-new": Architecture(
        "GteConfig", SMALL | {"hidden_size": 64}, unigram, "cls", changes=GTE_NEW
    ),
    "jina-v2": Architecture(
        "JinaBertConfig",
        SMALL | {"num_attention_heads": 4},
        wordpiece,
        changes=JINA
        | {
            "auto_map": {
                "AutoModel": "jinaai/jina-bert-implementation--modeling_bert.JinaBertModel"
            }
        },
    ),
    "jina-v2-code": Architecture(
        "JinaBertConfig",
        SMALL | {"qk_norm": True},
        byte_bpe,
        changes=JINA
        | {
            "auto_map": {
                "AutoModel": "jinaai/jina-bert-v2-qk-post-norm--modeling_bert.JinaBertModel"
            }
        },
    ),
    "gte-qwen2": Architecture(
        "Qwen2Config",
        DECODER | {"vocab_size": 450},
        unfinished_bpe,
        "lasttoken",
        settings=prompts(query=f"{INSTRUCTION}\nQuery: "),
        changes=QWEN2_CODE,
        tokenizer_changes=QWEN2_TOKENIZER,
    ),
    "llama-bidirectional": Architecture(
        "LlamaConfig",
        DECODER,
        last_token_bpe,
        changes={
            "model_type": "llama_bidirec",
            "pooling": "avg",
            "temperature": 0.02,
            "auto_map": {"AutoModel": "llama_bidirectional_model.LlamaBidirectionalModel"},
        },
    ),
    "multilingual-minilm": Architecture("BertConfig", SMALL, unigram),
    "xlm-roberta-mean": Architecture(
        "XLMRobertaConfig",
        SMALL,
        unigram,
        normalized=True,
        settings=prompts(query="query: ", passage="passage: "),
    ),
    "roberta-cls": Architecture("RobertaConfig", SMALL, byte_bpe, "cls", normalized=True),
    "mpnet-cls": Architecture(
        "MPNetConfig", SMALL, wordpiece, "cls", settings={"similarity_fn_name": "dot"}
    ),
    "modernbert-cls": Architecture("ModernBertConfig", SMALL, byte_bpe, "cls"),
    "nomic-bert-cls": Architecture(
        "NomicBertConfig",
        SMALL,
        wordpiece,
        "cls",
        settings=prompts(query="Represent this sentence for searching relevant passages: "),
        changes=NOMIC,
    ),
    "arctic-m-v2": Architecture(
        "GteConfig", SMALL, unigram, "cls", settings=prompts(query="query: "), changes=GTE_NATIVE
    ),
    "mistral": Architecture(
        "MistralConfig",
        DECODER | {"sliding_window": 16},
        byte_bpe,
        "lasttoken",
        normalized=True,
        settings=prompts(web_search_query=f"{INSTRUCTION}\nQuery: "),
    ),
    "contriever": Architecture("BertConfig", SMALL, wordpiece, modules=False),
    "specter": Architecture("BertConfig", SMALL, wordpiece, "cls", modules=False),
    "stella-400m": Architecture(
        "GteConfig",
        SMALL | {"hidden_size": 64},
        wordpiece,
        dense=({"out_features": 48, "activation_function": IDENTITY},),
        settings=STELLA,
        changes=GTE_NEW | {"rope_scaling": {"type": "ntk", "factor": 2.0}},
    ),
    "stella-1.5b": Architecture(
        "Qwen2Config",
        DECODER | {"vocab_size": 450},
        unfinished_bpe,
        dense=({"out_features": 48, "activation_function": IDENTITY},),
        settings=STELLA,
        changes=QWEN2_CODE,
        tokenizer_changes=QWEN2_TOKENIZER,
    ),
    "sentence-t5": Architecture(
        "T5Config",
        T5,
        unigram,
        dense=({"out_features": 32, "bias": False, "activation_function": IDENTITY},),
        normalized=True,
        encoder_only=True,
    ),
    "static": Architecture("", {"embedding_dim": 24}, wordpiece, None, max_length=32_768),
    # As model2vec writes it: at the root, beside a configuration that nobody reads.
    "potion": Architecture(
        "",
        {"embedding_dim": 24},
        wordpiece,
        None,
        max_length=32_768,
        normalized=True,
        changes={"model_type": "model2vec", "architectures": ["StaticModel"], "normalize": True},
    ),
}


def make_checkpoint(
    folder: Path, architecture: str, *, max_length: int | None = None, **options: Any
) -> Path:
    """Write a checkpoint with random weights; the same call gives the same files.

    max_length  tokens, if not the architecture's own
    options     of the transformers configuration, beside those of the architecture
    """
    return write_checkpoint(folder, ARCHITECTURES[architecture], max_length=max_length, **options)


def write_checkpoint(
    folder: Path,
    kind: Architecture,
    *,
    max_length: int | None = None,
    deviation: float = 0.15,
    **options: Any,
) -> Path:
    """The same for a structure without a name.

    deviation  of the weights; so large that a wrong neighbour or position changes the vectors
               visibly, in layers of 32
    """
    tokenizer = kind.tokenizer()
    torch.manual_seed(0)
    limit = max_length or kind.max_length
    if kind.pooling is None:
        _write_static(folder, kind, tokenizer)
        return folder
    config: Any = _config(kind, tokenizer.get_vocab_size(), options)
    # Of T5 the whole, as its checkpoints may hold it.
    model: Any = T5EncoderModel(config) if kind.encoder_only else AutoModel.from_config(config)
    _spread(model, deviation)
    model.save_pretrained(folder)
    _change(folder / "config.json", kind.changes)
    if kind.weights == "bin":
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    _save_tokenizer(tokenizer, folder, limit)
    _change(folder / "tokenizer_config.json", kind.tokenizer_changes)
    if kind.modules:
        _write_modules(folder, kind, limit)
    return folder


def _write_static(folder: Path, kind: Architecture, tokenizer: Tokenizer) -> None:
    """A table with a row a token: model2vec's if there is a config.json, else from training."""
    weights = torch.randn(tokenizer.get_vocab_size(), kind.options["embedding_dim"])
    path = "." if kind.changes else "0_StaticEmbedding"
    (folder / path).mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / path / "tokenizer.json"))
    name = "embeddings" if kind.changes else "embedding.weight"
    save_file({name: weights}, folder / path / "model.safetensors")
    if kind.changes:
        (folder / "config.json").write_text(json.dumps(kind.changes))
    _write_list(folder, [(path, "StaticEmbedding")], kind.normalized)


def _change(path: Path, changes: dict[str, Any]) -> None:
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def _config(kind: Architecture, vocab_size: int, options: dict[str, Any]) -> PretrainedConfig:
    tokens = {"pad_token_id": 0, "bos_token_id": 2, "cls_token_id": 2}
    tokens |= {"eos_token_id": 3, "sep_token_id": 3}
    given = {"vocab_size": vocab_size} | kind.options | tokens | options
    config: PretrainedConfig = getattr(transformers, kind.config, JinaBertConfig)(**given)
    return config


def _spread(model: torch.nn.Module, deviation: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=deviation)


def _save_tokenizer(tokenizer: Tokenizer, folder: Path, max_length: int) -> None:
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)


def _write_modules(folder: Path, kind: Architecture, max_length: int) -> None:
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    hidden = json.loads((folder / "config.json").read_text())
    width = next(
        hidden[key] for key in ("hidden_size", "d_model", "dim", "n_embd") if key in hidden
    )
    pooling = {"word_embedding_dimension": width, "pooling_mode": kind.pooling}
    _write_module(folder / "1_Pooling", pooling)
    for index, options in enumerate(kind.dense, start=2):
        given = {"in_features": width, "bias": True} | options
        path = f"{index}_Dense"
        _write_module(folder / path, given)
        layer = torch.nn.Linear(given["in_features"], given["out_features"], given["bias"])
        weights = {f"linear.{name}": value for name, value in layer.state_dict().items()}
        save_file(weights, folder / path / "model.safetensors")
        modules.append((path, "Dense"))
        width = given["out_features"]
    _write_list(folder, modules, kind.normalized)
    limits = {"max_seq_length": max_length, "do_lower_case": kind.lower}
    (folder / "sentence_bert_config.json").write_text(json.dumps(limits))
    if kind.settings:
        settings = folder / "config_sentence_transformers.json"
        settings.write_text(json.dumps(kind.settings))


def _write_list(folder: Path, modules: list[tuple[str, str]], normalized: bool) -> None:
    """modules.json, of folders and classes."""
    if normalized:
        modules = [*modules, (f"{len(modules)}_Normalize", "Normalize")]
    prefix = "sentence_transformers.models"
    entries = [
        {"idx": index, "name": str(index), "path": path, "type": f"{prefix}.{kind}"}
        for index, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(entries))


def _write_module(folder: Path, config: dict[str, Any]) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
