"""Checkpoints of full size with random weights: what a GPU will be given."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transformers.utils import logging

from tests.checkpoints import ARCHITECTURES, NOMIC, write_checkpoint

MAX_LENGTH = 512
DEVIATION = 0.02  # of weights, as such models begin their training


@dataclass(frozen=True)
class Shape:
    """An architecture of tests/checkpoints.py in the size of a checkpoint that people use.

    changes  of config.json, where it is written in another code's words
    """

    architecture: str
    options: dict[str, Any]
    changes: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        kind = ARCHITECTURES[self.architecture]
        kind = replace(kind, changes=kind.changes | self.changes)
        return write_checkpoint(
            folder, kind, max_length=MAX_LENGTH, deviation=DEVIATION, **self.options
        )


def _sizes(hidden: int, layers: int, heads: int, inner: int, **others: Any) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "max_position_embeddings": MAX_LENGTH,
        **others,
    }


NOMIC_SIZES = {"n_embd": 768, "n_head": 12, "n_inner": 3072, "n_layer": 12}
SHAPES = {
    "MiniLM": Shape("bert", _sizes(384, 6, 12, 1536)),
    "BERT-base": Shape("bert", _sizes(768, 12, 12, 3072)),
    "BERT-large": Shape("bert-cls", _sizes(1024, 24, 16, 4096)),
    "ModernBERT": Shape("modernbert", _sizes(768, 22, 12, 1152, local_attention=128)),
    "NomicBERT": Shape("nomic-bert", _sizes(768, 12, 12, 3072), NOMIC | NOMIC_SIZES),
    "Qwen3": Shape("qwen3", _sizes(1024, 28, 16, 3072, num_key_value_heads=8, head_dim=128)),
    "EmbeddingGemma": Shape(
        "embeddinggemma",
        _sizes(
            768,
            24,
            3,
            1152,
            num_key_value_heads=1,
            head_dim=256,
            sliding_window=512,
            query_pre_attn_scalar=256,
            layer_types=(["sliding_attention"] * 5 + ["full_attention"]) * 4,
        ),
    ),
}


def read_arguments(
    program: str, described: str | None, given: Sequence[str] | None
) -> tuple[Path, list[str]]:
    """A folder to keep exports in, and the names of shapes; libraries are quiet from now on."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=described)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    options = parser.parse_args(given)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    return options.folder, options.shapes
