"""Tiny random checkpoints, one an architecture, as sentence-transformers lays them out."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoModel, PretrainedConfig, PreTrainedTokenizerFast

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
    pooling: str = "mean"  # as sentence-transformers writes it
    max_length: int = 64


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
ARCHITECTURES = {
    "bert": Architecture("BertConfig", SMALL, wordpiece),
    "bert-cls": Architecture("BertConfig", SMALL, wordpiece, "cls"),
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
    "nomic-bert": Architecture("NomicBertConfig", SMALL, wordpiece),
    "qwen3": Architecture(
        "Qwen3Config",
        SMALL | {"num_key_value_heads": 2, "head_dim": 16},
        last_token_bpe,
        "lasttoken",
    ),
    "mpnet": Architecture("MPNetConfig", SMALL, wordpiece),
}


def make_checkpoint(
    folder: Path, architecture: str, *, max_length: int | None = None, **options: Any
) -> Path:
    """Write a checkpoint with random weights; the same call gives the same files.

    max_length  tokens, if not the architecture's own
    options     of the transformers configuration, beside those of the architecture
    """
    kind = ARCHITECTURES[architecture]
    tokenizer = kind.tokenizer()
    config = _config(kind, tokenizer.get_vocab_size(), options)
    torch.manual_seed(0)
    model = AutoModel.from_config(config)
    _spread(model)
    model.save_pretrained(folder)
    limit = max_length or kind.max_length
    _save_tokenizer(tokenizer, folder, limit)
    _write_modules(folder, kind.pooling, limit)
    return folder


def _config(kind: Architecture, vocab_size: int, options: dict[str, Any]) -> PretrainedConfig:
    tokens = {"pad_token_id": 0, "bos_token_id": 2, "cls_token_id": 2}
    tokens |= {"eos_token_id": 3, "sep_token_id": 3}
    given = kind.options | tokens | {"vocab_size": vocab_size} | options
    config: PretrainedConfig = getattr(transformers, kind.config)(**given)
    return config


def _spread(model: torch.nn.Module) -> None:
    """Larger random weights, so that a wrong neighbour or position changes the vectors visibly."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.15)


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


def _write_modules(folder: Path, pooling_mode: str, max_length: int) -> None:
    prefix = "sentence_transformers.models"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{prefix}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{prefix}.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    limits = {"max_seq_length": max_length, "do_lower_case": False}
    (folder / "sentence_bert_config.json").write_text(json.dumps(limits))
    (folder / "1_Pooling").mkdir()
    pooling = {"pooling_mode": pooling_mode}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
