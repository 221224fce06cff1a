"""Keys of JSON files: flipped, removed, added, of another type, huge; and those that matter."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from tests.export.mutations.drawing import choose, read, read_object, set_key, shorten, write

ACTIVATIONS = (
    "gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu", "relu2", "silu", "tanh", "mish",
    "gated-gelu", "gated-silu", "sigmoid", "linear", "leaky_relu", "swish", "unheard_of", None,
)  # fmt: skip
NUMBERS = (0, 1, 2, 3, 5, 8, 16, 31, 33, 48, 64, 128, -1, 10**9, 1.5, None, "4")
SHARES = (0, 1e-12, 1e-5, 0.1, 1, 100.0, -1e-5, 1e30, None, "1e-5")
ROPES: tuple[Any, ...] = (
    None,
    {},
    {"rope_type": "default"},
    {"rope_type": "default", "rope_theta": 100.0},
    {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0},
    {"rope_type": "linear", "rope_theta": 10000.0, "factor": 0},
    {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0},
    {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 32,
    },
    {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
    {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0], "long_factor": [2.0]},
    {"rope_type": "proportional", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    {"rope_type": "unheard_of", "rope_theta": 10000.0},
    {"type": "ntk", "factor": 8.0},
    [10000.0],
    "default",
)
SWITCHES = (True, False, None, "false", 1)
# Of config.json: what a key may become. Keys that are not there are added.
CHOICES: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(
        ("hidden_act", "hidden_activation", "activation", "activation_function", "dense_act_fn",
         "feed_forward_proj"), ACTIVATIONS,
    ),
    **dict.fromkeys(
        ("hidden_size", "d_model", "dim", "intermediate_size", "d_ff", "hidden_dim", "head_dim",
         "num_hidden_layers", "num_layers", "n_layers", "num_attention_heads", "num_heads",
         "n_heads", "num_key_value_heads", "d_kv", "embedding_size", "max_position_embeddings",
         "type_vocab_size", "sliding_window", "local_attention", "num_hidden_groups",
         "inner_group_num", "relative_attention_num_buckets", "relative_attention_max_distance",
         "global_attn_every_n_layers", "query_pre_attn_scalar", "chunk_size_feed_forward",
         "max_window_layers", "_sliding_window_pattern"), NUMBERS,
    ),
    **dict.fromkeys(
        ("layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps", "norm_eps", "rope_theta",
         "attn_logit_softcapping", "final_logit_softcapping", "partial_rotary_factor",
         "attention_probs_dropout_prob", "initializer_range"), SHARES,
    ),
    **dict.fromkeys(("rope_parameters", "rope_scaling"), ROPES),
    **dict.fromkeys(
        ("tie_word_embeddings", "is_causal", "is_decoder", "use_bidirectional_attention",
         "add_cross_attention", "is_encoder_decoder", "attention_bias", "mlp_bias", "qkv_bias",
         "use_cache", "use_sliding_window", "qk_norm", "is_gated_act", "output_hidden_states",
         "output_attentions", "return_dict", "sinusoidal_pos_embds", "norm_bias", "classifier_bias",
         "logn_attention_scale", "pack_qkv", "deterministic_flash_attn"), SWITCHES,
    ),
    "layer_types": (
        ["full_attention"] * 2, ["sliding_attention"] * 2, ["full_attention"] * 5, [], None,
        ["sliding_attention", "full_attention"], ["chunked_attention"] * 2, "full_attention",
        ["full_attention", "sliding_attention", "full_attention", "sliding_attention"],
    ),
    "pad_token_id": (None, 0, 1, 3, -1, 10**6, "0", [0]),
    "model_type": (
        "bert", "roberta", "distilbert", "llama", "qwen2", "qwen3", "t5", "mistral", "gpt2",
        "unheard_of", "BERT", "", None, 7, "clip", "xlm-roberta", "electra", "albert", "new",
    ),
    "architectures": (["BertForMaskedLM"], ["T5EncoderModel"], [], None, "BertModel", [None]),
    "dtype": ("float16", "bfloat16", "float64", "int8", "unheard_of", None, 32),
    "torch_dtype": ("float16", "bfloat16", "auto", "unheard_of"),
    "auto_map": ({"AutoModel": "modeling_own.OwnModel"}, {}, None, "modeling_own.OwnModel"),
    "quantization_config": (
        {"quant_method": "bitsandbytes", "load_in_8bit": True}, {}, {"quant_method": "gptq"},
    ),
    "position_embedding_type": ("absolute", "relative_key", "rope", "alibi", "unheard_of", None),
    "attn_implementation": ("eager", "flash_attention_2"),
    "_attn_implementation": ("eager", "flash_attention_2", "unheard_of"),
    "id2label": ({"0": "a"}, {"zero": "a"}, None),
    "num_labels": (1, 64, -1, "two"),
    "pruned_heads": ({"0": [0]}, {"zero": 1}, [1]),
    "text_config": ({}, {"hidden_size": 64}, None),
    "transformers_version": ("4.0.0", "99.0.0", None, 5),
}  # fmt: skip


def any_key(folder: Path, draw: Random) -> str:
    """A key anywhere in a JSON file becomes something else, or is removed."""
    path = choose(draw, sorted(folder.rglob("*.json")))
    content = read(path)
    place = choose(draw, (place for place in _places(content) if place))
    *above, last = place
    parent = content
    for step in above:
        parent = parent[step]
    before = parent[last]
    where = f"{path.relative_to(folder)}: {'.'.join(map(str, place))}"
    if draw.random() < 0.2:
        del parent[last]
        write(path, content)
        return f"{where} removed"
    parent[last] = draw.choice(_others(before))
    write(path, content)
    return f"{where} = {shorten(parent[last])}, was {shorten(before)}"


def _places(content: Any, *above: Any) -> Iterator[tuple[Any, ...]]:
    """Ways to what is in an object; of long parts, which are vocabularies, one of fifty."""
    yield above
    if isinstance(content, dict | list):
        steps = list(content) if isinstance(content, dict) else list(range(len(content)))
        for step in steps if len(steps) < 50 else steps[::50]:
            yield from _places(content[step], *above, step)


def _others(value: Any) -> list[Any]:
    """What a value may become."""
    always: list[Any] = [None, [], {}, "", "unheard_of", 0, -1]
    match value:
        case bool():
            return [not value] * 4 + [str(value), int(value), *always]
        case int() | float():
            near = [value * 2, value + 1, value - 1, -value, value / 2]
            return [*near, *near, 1e30, 10**9, str(value), [value], *always, True]
        case str():
            return [value.upper(), value * 2, f" {value}", f"{value}é", [value], True, *always]
        case list():
            return [value[::-1], value[:-1], value * 2, {}, dict(enumerate(value)), *always]
        case dict():
            pairs = list(value.items())
            return [dict(pairs[:-1]), dict(pairs[1:]), pairs, {**value, "own": 1}, *always]
    return [0, 1, True, "unheard_of", [], {}, 1e30]


def known_key(folder: Path, draw: Random) -> str:
    """A key of config.json that says how is computed becomes something that it may mean."""
    path = folder / "config.json"
    content = read_object(path)
    there = [key for key in CHOICES if key in content]
    key = draw.choice(there) if there and draw.random() < 0.7 else draw.choice(list(CHOICES))
    return set_key(path, key, draw.choice(CHOICES[key]))


def vocabulary_size(folder: Path, draw: Random) -> str:
    """One token more or less than there are weights."""
    path = folder / "config.json"
    size = read_object(path).get("vocab_size")
    step = draw.choice((-1, 1, -20, 20))
    return set_key(path, "vocab_size", size + step if isinstance(size, int) else 100)


def unknown_key(folder: Path, draw: Random) -> str:
    """A key that nobody knows."""
    path = choose(draw, sorted(folder.rglob("*config*.json")))
    return set_key(path, "own_key", draw.choice((True, 1, "x", {"a": 1}, [1])))


MUTATIONS = (any_key, any_key, known_key, known_key, known_key, vocabulary_size, unknown_key)
