"""Models of the local Hub: what an export needs of each, by hand, and what lies beside it."""

import json
import random
from dataclasses import dataclass, field
from zlib import crc32

from tests.export.hub_server import Commit, Model, commit_of

TOKENIZER = "special_tokens_map.json tokenizer.json tokenizer_config.json"
CONFIGS = f"config.json config_sentence_transformers.json sentence_bert_config.json {TOKENIZER}"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
OTHER_FORMATS = (
    "pytorch_model.bin pytorch_model.bin.index.json model.fp16.safetensors tf_model.h5 "
    "model.safetensors.index.fp16.json flax_model.msgpack rust_model.ot model.q8.gguf "
    "adapter_model.safetensors onnx/model.onnx onnx/config.json onnx/model.onnx_data "
    "openvino/openvino_model.bin openvino/config.json coreml/model.mlmodel"
)
OTHER_FILES = (
    ".gitattributes README.md LICENSE.txt requirements.txt logo.png modeling_own.py training.py "
    "optimizer.pt training_args.bin trainer_state.json eval_results.json 1_Pooling/README.md "
    "checkpoint-5/config.json checkpoint-5/model.safetensors"
)


@dataclass(frozen=True)
class Repository:
    """Files that an export needs, and others."""

    needed: Commit
    others: Commit = field(default_factory=dict)

    @property
    def files(self) -> Commit:
        return self.needed | self.others

    @property
    def size_bytes(self) -> int:
        """Of what is needed."""
        return sum(map(len, self.needed.values()))

    @property
    def commit(self) -> str:
        return commit_of(self.files)


def content(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes that do not compress, as those of weights."""
    return random.Random(seed).randbytes(size_bytes)  # noqa: S311 - no secrets


def files(names: str) -> Commit:
    """Small files, their names between spaces."""
    return {name: content(700 + len(name), crc32(name.encode())) for name in names.split()}


def modules(*listed: tuple[str, str]) -> Commit:
    """modules.json of folders and kinds."""
    prefix = "sentence_transformers.models"
    content = [
        {"idx": index, "name": str(index), "path": path, "type": f"{prefix}.{kind}"}
        for index, (path, kind) in enumerate(listed)
    ]
    return {"modules.json": json.dumps(content).encode()}


def index(*shards: str) -> bytes:
    """The index of weights that lie in shards."""
    return json.dumps(
        {"weight_map": {f"layer.{n}": name for n, name in enumerate(shards)}}
    ).encode()


POOLED = modules(("", "Transformer"), ("1_Pooling", "Pooling")) | files("1_Pooling/config.json")
REPOSITORIES = {
    "org/full": Repository(
        POOLED | files(f"{CONFIGS} vocab.txt merges.txt sentencepiece.bpe.model {WEIGHTS}"),
        files(f"{OTHER_FORMATS} {OTHER_FILES}"),
    ),
    "org/shards": Repository(
        POOLED | files(f"{CONFIGS} {' '.join(SHARDS)}") | {INDEX: index(*SHARDS)},
        files("model-00001-of-00003.safetensors pytorch_model.bin pytorch_model.bin.index.json"),
    ),
    "org/bin": Repository(
        POOLED | files(f"{CONFIGS} pytorch_model.bin"), files("training_args.bin tf_model.h5")
    ),
    "org/bin-shards": Repository(
        files(f"{CONFIGS} pytorch_model-1.bin")
        | {"pytorch_model.bin.index.json": index("pytorch_model-1.bin")},
        files("pytorch_model-2.bin training_args.bin"),
    ),
    "org/potion": Repository(
        modules((".", "StaticEmbedding"), ("1_Normalize", "Normalize"))
        | files(f"config.json tokenizer.json {WEIGHTS}"),
        files("README.md onnx/model.onnx onnx/tokenizer.json 1_Normalize/README.md"),
    ),
    "org/static": Repository(
        modules(("0_StaticEmbedding", "StaticEmbedding"))
        | files("config_sentence_transformers.json")
        | files("0_StaticEmbedding/tokenizer.json 0_StaticEmbedding/model.safetensors"),
        files("README.md 0_StaticEmbedding/model.onnx"),
    ),
    "org/old": Repository(
        modules(("0_Transformer", "Transformer"), ("1_Pooling", "Pooling"))
        | files("1_Pooling/config.json 0_Transformer/config.json 0_Transformer/vocab.txt")
        | files("0_Transformer/sentence_bert_config.json 0_Transformer/pytorch_model.bin"),
        files("0_Transformer/tf_model.h5 0_Transformer/onnx/model.onnx pytorch_model.bin"),
    ),
    "org/dense": Repository(
        modules(("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"))
        | files(f"{CONFIGS} {WEIGHTS} 1_Pooling/config.json")
        | files("2_Dense/config.json 2_Dense/model.safetensors"),
        files("2_Dense/pytorch_model.bin 3_Dense/config.json 3_Dense/model.safetensors"),
    ),
    "org/adapter": Repository(
        POOLED | files(f"{CONFIGS} adapter_config.json"), files("adapter_model.safetensors")
    ),
    # huggingface_hub writes 10 MiB at a time, and resumes where it has written.
    "org/big": Repository(POOLED | files(CONFIGS) | {WEIGHTS: content(12_000_000)}),
    "org/odd": Repository(
        modules(("", "Transformer"), ("sub folder/é#?", "Dense"))
        | files(f"{CONFIGS} [a].json {WEIGHTS}")
        | {"sub folder/é#?/config.json": b"{}", "sub folder/é#?/model.safetensors": b"weights"},
        {"../config.json": b"{}", "a b/config.json": b"{}"},
    ),
    "org/escape": Repository(modules(("../..", "Dense")), files(f"{CONFIGS} {WEIGHTS}")),
    "org/lost-shard": Repository(
        files(CONFIGS) | {INDEX: index(*SHARDS)}, files(f"{SHARDS[0]} pytorch_model.bin")
    ),
    "org/gguf": Repository({}, files("README.md model.q4.gguf model.q8.gguf")),
}
FULL, BIG = REPOSITORIES["org/full"], REPOSITORIES["org/big"]
OLDER = Repository(FULL.needed | {WEIGHTS: content(500, 1)}, FULL.others)
PROPOSED = Repository(FULL.needed | {WEIGHTS: content(600, 2)}, FULL.others)
REPOSITORIES |= dict.fromkeys(["org/private", "org/gated", "org/disabled", "org/xet"], FULL)


def models() -> dict[str, Model]:
    """Everything that the local Hub holds."""
    held = {name: Model({"main": held.files}) for name, held in REPOSITORIES.items()}
    held["org/full"].refs |= {"v1.0": OLDER.files, "dev/next": OLDER.files}
    held["org/full"].refs |= {"refs/pr/38": PROPOSED.files}
    held["org/private"].private = True
    held["org/gated"].gated = True
    held["org/disabled"].disabled = True
    held["org/xet"].xet = True
    return held
