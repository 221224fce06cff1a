"""Modules, poolings, prompts and limits, as sentence-transformers reads them."""

from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import save_file
from sentence_transformers.sentence_transformer import modules

from tests.export.mutations.drawing import Impossible, choose, read, read_object, set_key, write

OLD = "sentence_transformers.models"
FOREIGN = (
    "custom_st.Transformer", f"{OLD}.CLIPModel", f"{OLD}.BoW", f"{OLD}.Router", f"{OLD}.Unheard",
    "torch.nn.Identity", "os.system", "sentence_transformers.SentenceTransformer", "", "Pooling",
    f"{OLD}.Asym", f"{OLD}.LSTM", f"{OLD}.WordWeights", "builtins.eval", None, 7,
    "sentence_transformers.sparse_encoder.models.SpladePooling",
    "sentence_transformers.cross_encoder.CrossEncoder",
)  # fmt: skip
ACTIVATIONS = (
    "torch.nn.modules.activation.ReLU", "torch.nn.modules.activation.GELU", "torch.nn.Sigmoid",
    "torch.nn.modules.activation.SiLU", "torch.nn.Softmax", "torch.nn.Unheard", "own.Activation",
    "torch.nn.modules.activation.Tanh", "torch.nn.functional.relu", "torch.nn.Linear", "", None, 3,
    "torch.nn.modules.activation.Softplus", "torch.nn.modules.activation.LeakyReLU", "os.system",
    "torch.nn.Mish", "torch.nn.Hardswish", "torch.nn.PReLU", "torch.nn.Dropout",
)  # fmt: skip
FORWARD = {"method": "forward"}
MODES: tuple[Any, ...] = (
    "mean", "cls", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens",
    ["mean", "cls"], ["max", "weightedmean", "lasttoken"], ["cls"], ["mean", "mean"], [], "unheard",
    None, 3, "", ["mean", "unheard"], {"mean": True}, "MEAN",
)  # fmt: skip


def _modules(folder: Path) -> list[dict[str, Any]]:
    entries = read(folder / "modules.json")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Impossible
    return entries


def _write_modules(folder: Path, entries: list[dict[str, Any]]) -> None:
    write(folder / "modules.json", [{**entry, "idx": i} for i, entry in enumerate(entries)])


def _module(folder: Path, kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """A module in a folder of its own, and its entry."""
    path = f"own_{kind}"
    (folder / path).mkdir(exist_ok=True)
    write(folder / path / "config.json", config)
    return {"idx": 0, "name": path, "path": path, "type": f"{OLD}.{kind}"}


def _insert(folder: Path, draw: Random, entry: dict[str, Any]) -> str:
    entries = _modules(folder)
    at = draw.randrange(len(entries) + 1)
    _write_modules(folder, [*entries[:at], entry, *entries[at:]])
    return f"modules.json: {entry['type']} at {at}"


def order(folder: Path, draw: Random) -> str:
    """Two modules change places, one is missing, or one is there twice."""
    entries = _modules(folder)
    at = draw.randrange(max(len(entries), 1))
    what = draw.choice(("reversed", "removed", "twice", "empty", "idx", "rotated"))
    changed = {
        "reversed": entries[::-1],
        "removed": entries[:at] + entries[at + 1 :],
        "twice": entries[: at + 1] + entries[at:],
        "empty": [],
        "idx": [{**entry, "idx": -entry.get("idx", 0)} for entry in entries],
        "rotated": entries[1:] + entries[:1],
    }[what]
    write(folder / "modules.json", changed)
    return f"modules.json: {what}, {at}"


def entry(folder: Path, draw: Random) -> str:
    """A module's class, path or another key of its entry is another."""
    entries = _modules(folder)
    chosen = choose(draw, entries)
    key, value = draw.choice(
        [("type", kind) for kind in FOREIGN]
        + [("path", path) for path in ("..", "", "/", "gone", "1_Pooling/", "./1_Pooling", None, 1)]
        + [("path", "../outside"), ("path", "1_Pooling"), ("name", None), ("name", "0")]
        + [("kwargs", ["task"]), ("kwargs", "task"), ("kwargs", None), ("idx", "first")]
    )
    if draw.random() < 0.1:
        chosen.pop(key, None)
    else:
        chosen[key] = value
    write(folder / "modules.json", entries)
    return f"modules.json: {key} = {chosen.get(key)!r} of {chosen.get('name')}"


def dense(folder: Path, draw: Random) -> str:
    """One more Dense, that chains or does not."""
    taken, given = draw.choice((32, 32, 32, 24, 16, 64)), draw.choice((16, 32, 1, 48))
    bias = draw.random() < 0.5
    config: dict[str, Any] = {"in_features": taken, "out_features": given, "bias": bias}
    if draw.random() < 0.7:
        config["activation_function"] = draw.choice(ACTIVATIONS)
    config |= draw.choice(
        (
            *({}, {}, {}, {"use_residual": True}, {"module_input_name": "token_embeddings"}),
            {"module_output_name": "other"},
            {"module_input_name": "token_embeddings", "module_output_name": "sentence_embedding"},
        )
    )
    inserted = _insert(folder, draw, _module(folder, "Dense", config))
    layer = torch.nn.Linear(taken, given, bias=bias)
    tensors = {f"linear.{name}": tensor for name, tensor in layer.state_dict().items()}
    save_file(tensors, folder / "own_Dense" / "model.safetensors")
    return f"{inserted} {config}"


def activation(folder: Path, draw: Random) -> str:
    """A Dense has another activation."""
    path = choose(draw, sorted(folder.glob("*_Dense/config.json")))
    return set_key(path, "activation_function", draw.choice(ACTIVATIONS))


def harmless_module(folder: Path, draw: Random) -> str:
    """A Normalize or a Dropout, anywhere."""
    kind = draw.choice(("Normalize", "Normalize", "Dropout"))
    return _insert(
        folder, draw, _module(folder, kind, {"dropout": 0.2} if kind == "Dropout" else {})
    )


def layer_norm(folder: Path, draw: Random) -> str:
    """A LayerNorm with weights of its own."""
    size = draw.choice((32, 32, 32, 16))
    inserted = _insert(folder, draw, _module(folder, "LayerNorm", {"dimension": size}))
    tensors = {"norm.weight": torch.rand(size) + 0.5, "norm.bias": torch.rand(size)}
    save_file(tensors, folder / "own_LayerNorm" / "model.safetensors")
    return inserted


def second_pooling(folder: Path, draw: Random) -> str:
    """One more Pooling."""
    config = {"word_embedding_dimension": 32, "pooling_mode": draw.choice(("mean", "cls", "max"))}
    return _insert(folder, draw, _module(folder, "Pooling", config))


def other_module(folder: Path, draw: Random) -> str:
    """A module that works on tokens or on what is not there."""
    made = draw.choice(
        (
            lambda: modules.WeightedLayerPooling(32, num_hidden_layers=2, layer_start=1),
            lambda: modules.CNN(32, out_channels=8, kernel_sizes=[1, 3]),
            lambda: modules.LSTM(32, hidden_dim=8),
            lambda: modules.WordWeights(vocab=["one"], word_weights={"one": 2.0}),
        )
    )()
    kind = type(made).__name__
    inserted = _insert(folder, draw, _module(folder, kind, {}))
    made.save(str(folder / f"own_{kind}"))
    return inserted


def pooling(folder: Path, draw: Random) -> str:
    """Another pooling, in the new words or in the old."""
    path = folder / "1_Pooling" / "config.json"
    content = read_object(path)
    if draw.random() < 0.6:
        return set_key(path, "pooling_mode", draw.choice(MODES))
    content.pop("pooling_mode", None)
    names = (
        "cls_token",
        "mean_tokens",
        "max_tokens",
        "mean_sqrt_len_tokens",
        "weightedmean_tokens",
    )
    modes = {f"pooling_mode_{name}": draw.random() < 0.3 for name in (*names, "lasttoken")}
    if draw.random() < 0.2:
        modes["pooling_mode_mean_tokens"] = draw.choice(("true", 1, None))  # type: ignore[assignment]
    write(path, content | modes)
    return f"1_Pooling: {[name for name, value in modes.items() if value]}"


def pooling_option(folder: Path, draw: Random) -> str:
    """Another width, or prompts that do not count."""
    key, value = draw.choice(
        (
            *(("include_prompt", value) for value in (False, True, None, "false")),
            *(("word_embedding_dimension", value) for value in (16, 0, -1, None, "32", 10**9)),
            ("embedding_dimension", 64),
            ("own", 1),
        )
    )
    return set_key(folder / "1_Pooling" / "config.json", key, value)


def prompts(folder: Path, draw: Random) -> str:
    """Prompts, a default one, a similarity."""
    key, value = draw.choice(
        (
            ("prompts", {"query": "query: ", "document": "passage: "}),
            ("prompts", {"query": {"a": "b"}}),
            ("prompts", {"query": 3, "document": None}),
            ("prompts", ["query: "]),
            ("prompts", "query: "),
            ("prompts", {"query": "x" * 70_000}),
            ("prompts", {"": "query: ", "\ud800": "\ud800"}),
            ("prompts", {"query": " q\n\t\u00e9 [SEP] "}),
            ("prompts", None),
            ("default_prompt_name", "query"),
            ("default_prompt_name", "gone"),
            ("default_prompt_name", 3),
            ("default_prompt_name", ["query"]),
            *(
                ("similarity_fn_name", n)
                for n in ("dot", "euclidean", "manhattan", "own", "", 3, None)
            ),
            ("truncate_dim", 16),
            ("truncate_dim", -1),
            ("model_type", "CrossEncoder"),
            ("model_type", "SparseEncoder"),
            ("__version__", None),
            ("__version__", {"sentence_transformers": "99.0"}),
        )
    )
    path = folder / "config_sentence_transformers.json"
    said = set_key(path, key, value)
    if key == "prompts" and draw.random() < 0.4:
        said += "; " + set_key(path, "default_prompt_name", "query")
    return said


def limits(folder: Path, draw: Random) -> str:
    """The longest text, lower case, and what newer versions say in the same file."""
    key, value = draw.choice(
        (
            *(("max_seq_length", n) for n in (0, 1, 2, 3, 16, 79, 80, 81, 500, -1, 10**9, 1e30)),
            *(("max_seq_length", value) for value in (None, "64", 10.5, [64], True)),
            *(("do_lower_case", value) for value in (True, None, "false", 1)),
            *(("query_length", 16), ("document_length", 16), ("own", 1)),
            ("modality_config", {"text": FORWARD | {"method_output_name": "last_hidden_state"}}),
            ("modality_config", {"text": FORWARD | {"method_output_name": "pooler_output"}}),
            ("modality_config", {"image": FORWARD | {"method_output_name": None}}),
            ("modality_config", {}),
            ("module_output_name", "sentence_embedding"),
            ("transformer_task", "fill-mask"),
            ("transformer_task", "text-generation"),
            ("transformer_task", "sequence-classification"),
            ("transformer_task", "unheard_of"),
            ("model_args", {"attn_implementation": "eager"}),
            ("model_args", {"dtype": "float16"}),
            ("model_kwargs", {"torch_dtype": "bfloat16"}),
            ("config_args", {"hidden_act": "relu"}),
            ("config_kwargs", {"hidden_act": "relu"}),
            ("config_kwargs", {"is_decoder": True}),
            ("tokenizer_args", {"model_max_length": 8}),
            ("processor_kwargs", {"padding_side": "left"}),
            ("processor_kwargs", {"truncation_side": "left"}),
            ("processing_kwargs", {"text": {"max_length": 8, "truncation": True}}),
            ("processing_kwargs", {"text": {"add_special_tokens": False}}),
            ("backend", "onnx"),
            ("unpad_inputs", True),
        )
    )  # fmt: skip
    path = folder / "sentence_bert_config.json"
    if key == "max_seq_length" and draw.random() < 0.1:
        path.unlink(missing_ok=True)
        return f"{path.name} removed"
    return set_key(path, key, value)


MUTATIONS = (
    order, order, entry, entry, dense, dense, activation, harmless_module, layer_norm,
    second_pooling, other_module, pooling, pooling, pooling_option, prompts, prompts, limits,
    limits, limits,
)  # fmt: skip
