"""Checkpoints that name code of their own, of which nothing but the architecture is needed.

Code from a repository is never run. Where its architecture is one that is here, under another name
or other keys, the checkpoint's configuration is translated, and its `auto_map` with it. Whatever
is not stated or not known stays as it is, and `export.guard` refuses it.

The whole of a translated checkpoint is a folder of links, beside the changed files: the libraries
that read it see nothing else.

Sources: text-embeddings-inference 1.9 and vLLM 0.26 serve the same repositories without their code
(gte.rs, jina.rs, jina_code.rs; voyage.py, ntk_scaling_rope.py, LlamaBidirectionalConfig).
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from export.errors import CheckpointNotFound, ExportError

Config = dict[str, Any]


@contextmanager
def translated(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """The folder to read in the place of a checkpoint's, and what became of it in one line.

    Raises: CheckpointNotFound if a configuration is not readable.
    """
    found = _translate(_read(folder / "config.json"))
    if found is None:
        yield folder, None
        return
    config, line = found
    changed = {"config.json": config}
    if config["model_type"] == "qwen2":
        changed |= _with_end(folder)
    with TemporaryDirectory(prefix="translated-") as place:
        home = Path(place) / folder.name
        home.mkdir()
        for entry in folder.iterdir():
            if entry.name not in changed:
                (home / entry.name).symlink_to(entry.resolve())
        for name, content in changed.items():
            (home / name).write_text(json.dumps(content), encoding="utf-8")
        try:
            yield home, line
        except ExportError as error:  # what is wrong with the links is so with the checkpoint
            raise type(error)(str(error).replace(str(home), str(folder))) from error


def _read(path: Path) -> Config:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointNotFound(f"{path} is not JSON: {error}") from error
    return content if isinstance(content, dict) else {}


def _translate(config: Config) -> tuple[Config, str] | None:
    code = config.get("auto_map")
    model = code.get("AutoModel") if isinstance(code, dict) else None
    for kind, name, translation in KNOWN:
        if config.get("model_type") == kind and isinstance(model, str) and model.endswith(name):
            changed = translation({key: config[key] for key in config if key != "auto_map"})
            if changed is not None:
                return changed, f"Its own code, {model}, is not run: it is {changed['model_type']}"
    return None


def _with_end(folder: Path) -> dict[str, Config]:
    """Files of a tokenizer whose own code puts an end to each text, and whose file does not."""
    settings, tokenizer = (
        _read(folder / name) for name in ("tokenizer_config.json", "tokenizer.json")
    )
    end = settings.get("eos_token")
    end = end.get("content") if isinstance(end, dict) else end
    numbers = {
        token.get("content"): token.get("id")
        for token in tokenizer.get("added_tokens", [])
        if isinstance(token, dict)
    }
    if not settings.get("add_eos_token") or end not in numbers:
        return {}
    template = {
        "type": "TemplateProcessing",
        "single": [
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": end, "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {end: {"id": end, "ids": [numbers[end]], "tokens": [end]}},
    }
    settings = {key: value for key, value in settings.items() if key != "auto_map"}
    return {
        "tokenizer_config.json": settings,
        "tokenizer.json": tokenizer | {"post_processor": template},
    }


def _gte(config: Config) -> Config | None:
    """Alibaba's "new" model, which transformers took over as GTE.

    Its NTK scaling by f over d dimensions of a head divides the angles of theta * f by f^(2/d).
    """
    if (
        config.get("position_embedding_type") != "rope"
        or config.get("layer_norm_type", "layer_norm") != "layer_norm"
        or config.get("logn_attention_scale")
        or not config.get("pack_qkv", True)
    ):
        return None
    changed = config | {"model_type": "gte", "architectures": ["GteModel"]}
    scaling, theta = changed.pop("rope_scaling", None), changed.pop("rope_theta", 10_000.0)
    rope = {"rope_type": "default", "rope_theta": theta}
    if scaling is not None:
        if not isinstance(scaling, dict) or scaling.keys() != {"type", "factor"}:
            return None
        factor, size = scaling["factor"], config["hidden_size"] // config["num_attention_heads"]
        if scaling["type"] != "ntk":
            return None
        rope = {
            "rope_type": "linear",
            "rope_theta": theta * factor,
            "factor": factor ** (2 / size),
        }
    for key in GTE_SETTLED:
        changed.pop(key, None)
    return changed | {"rope_parameters": rope}


# Checked above, or of how the code computes and not what.
GTE_SETTLED = (
    "position_embedding_type", "layer_norm_type", "logn_attention_scale", "logn_attention_clip1",
    "pack_qkv", "unpad_inputs", "use_memory_efficient_attention",
)  # fmt: skip


def _jina_bert(config: Config, *, qk_norm: bool) -> Config | None:
    """Jina Embeddings 2: BERT with ALiBi and GEGLU, which its model type does not say."""
    if config.get("position_embedding_type") != "alibi":
        return None
    if config.get("feed_forward_type", "geglu") != "geglu" or config.get("hidden_act") != "gelu":
        return None
    kept = {key: value for key, value in config.items() if key not in JINA_SETTLED}
    return kept | {"model_type": "jina_bert", "qk_norm": qk_norm}


# Checked above, or of how the code computes and not what; modules.json says how tokens are pooled.
JINA_SETTLED = (
    "architectures", "attn_implementation", "emb_pooler", "feed_forward_type", "hidden_act",
    "model_max_length", "position_embedding_type",
)  # fmt: skip


def _both_ways(config: Config, kind: str) -> Config | None:
    """A decoder whose tokens see each other both ways."""
    settled = ("pooling", "temperature")  # modules.json says how tokens are pooled; of training
    kept = {key: value for key, value in config.items() if key not in settled}
    return kept | {"model_type": kind, "is_causal": False}


def _stated(config: Config) -> Config | None:
    """Qwen2 with code of its own, whose one difference is stated: `is_causal`."""
    return config if isinstance(config.get("is_causal"), bool) else None


# Model type, the end of `auto_map.AutoModel`, and what makes the configuration one without it: None
# if it says something that is not known.
KNOWN: tuple[tuple[str, str, Callable[[Config], Config | None]], ...] = (
    ("new", "modeling.NewModel", _gte),
    (
        "bert",
        "jina-bert-v2-qk-post-norm--modeling_bert.JinaBertModel",
        partial(_jina_bert, qk_norm=True),
    ),
    ("bert", "modeling_bert.JinaBertModel", partial(_jina_bert, qk_norm=False)),
    ("qwen2", "modeling_qwen.Qwen2Model", _stated),
    ("llama_bidirec", "LlamaBidirectionalModel", partial(_both_ways, kind="llama")),
)
