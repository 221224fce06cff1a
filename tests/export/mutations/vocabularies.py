"""Tokenizers: another model, other ids, other steps, other special tokens, ends that are cut."""

from pathlib import Path
from random import Random
from typing import Any

from tests.export.mutations.drawing import Impossible, choose, read_object, set_key, write

NORMALIZERS: tuple[Any, ...] = (
    None,
    {"type": "Lowercase"},
    {"type": "NFKC"},
    {"type": "NFD"},
    {"type": "StripAccents"},
    {"type": "Strip", "strip_left": True, "strip_right": True},
    {"type": "Prepend", "prepend": "▁"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    {"type": "Replace", "pattern": {"Regex": "[aeiou]+"}, "content": ""},
    {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "Lowercase"}]},
    {"type": "Sequence", "normalizers": []},
    {"type": "Precompiled", "precompiled_charsmap": ""},
    {"type": "Nmt"},
    {"type": "ByteLevel"},
    {"type": "Unheard"},
    {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": False,
        "strip_accents": True,
        "lowercase": False,
    },
)
PRE_TOKENIZERS: tuple[Any, ...] = (
    None,
    {"type": "Whitespace"},
    {"type": "WhitespaceSplit"},
    {"type": "BertPreTokenizer"},
    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
    {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": False},
    {"type": "Digits", "individual_digits": True},
    {"type": "Punctuation", "behavior": "Isolated"},
    {"type": "UnicodeScripts"},
    {"type": "Split", "pattern": {"Regex": "\\s+"}, "behavior": "Removed", "invert": False},
    {"type": "CharDelimiterSplit", "delimiter": "o"},
    {"type": "Unheard"},
)
LENGTHS: tuple[Any, ...] = (
    (
        "truncation",
        {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0},
    ),
    ("truncation", {"direction": "Left", "max_length": 8, "strategy": "LongestFirst", "stride": 2}),
    (
        "padding",
        {
            "strategy": {"Fixed": 32},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
    ),
    (
        "padding",
        {
            "strategy": "BatchLongest",
            "direction": "Left",
            "pad_to_multiple_of": 8,
            "pad_id": 3,
            "pad_type_id": 1,
            "pad_token": "[SEP]",
        },
    ),
)
TOKENS: tuple[Any, ...] = (
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<own>", "the", "", None, 3,
    {"content": "[SEP]", "lstrip": True, "rstrip": True, "__type": "AddedToken"},
    {"content": "<own>"}, ["[SEP]"],
)  # fmt: skip
SETTINGS: tuple[tuple[str, Any], ...] = (
    *(("truncation_side", side) for side in ("left", "right", "up")),
    *(("padding_side", side) for side in ("left", "up")),
    *(("model_max_length", n) for n in (1e30, 8, 0, -1, None, "64", 79, 100, 2.5)),
    *(("tokenizer_class", name) for name in (
        "BertTokenizer", "BertTokenizerFast", "XLMRobertaTokenizer", "Qwen2Tokenizer",
        "T5Tokenizer",
        "RobertaTokenizer", "PreTrainedTokenizerFast", "LlamaTokenizer", "Unheard", None, 3,
        "GemmaTokenizer", "MPNetTokenizer", "DebertaV2Tokenizer", "CamembertTokenizer",
    )),
    *((f"{kind}_token", token) for kind in ("pad", "unk", "cls", "sep", "mask", "bos", "eos")
      for token in TOKENS[::2]),
    *(("add_bos_token", value) for value in (True, False)),
    *(("add_eos_token", value) for value in (True, False)),
    *(("do_lower_case", value) for value in (True, False)),
    *(("strip_accents", value) for value in (True, False)),
    *(("tokenize_chinese_chars", False), ("add_prefix_space", True), ("add_prefix_space", False)),
    *(("legacy", True), ("use_fast", False), ("clean_up_tokenization_spaces", True)),
    *(("split_special_tokens", True), ("add_special_tokens", False)),
    ("return_token_type_ids", True),
    ("model_input_names", ["input_ids"]),
    ("model_input_names", ["input_ids", "token_type_ids", "attention_mask"]),
    ("model_input_names", "input_ids"),
    ("extra_special_tokens", {"own_token": "<own>"}),
    ("additional_special_tokens", ["the", "<own>"]),
    ("chat_template", "{{ messages }}"),
    ("auto_map", {"AutoTokenizer": ["tokenization_own.Own", None]}),
    ("added_tokens_decoder", {"3": {"content": "the", "special": True}}),
    ("added_tokens_decoder", {"900": {"content": "<own>", "special": True, "lstrip": False,
                                      "rstrip": False, "normalized": False, "single_word": False}}),
    ("backend", "own"), ("max_length", 8), ("truncation", False), ("stride", 4),
    ("padding", "max_length"),
    ("name_or_path", "bert-base-uncased"), ("fix_mistral_regex", True), ("unk_id", 3),
)  # fmt: skip


def _tokenizer(folder: Path) -> tuple[Path, dict[str, Any]]:
    path = folder / "tokenizer.json"
    content = read_object(path)
    if not isinstance(content.get("model"), dict):
        raise Impossible
    return path, content


def part(folder: Path, draw: Random) -> str:
    """A step of the tokenizer is another, or gone."""
    path, _ = _tokenizer(folder)
    key, value = draw.choice(
        [("normalizer", value) for value in NORMALIZERS]
        + [("pre_tokenizer", value) for value in PRE_TOKENIZERS]
        + [("post_processor", None)] * 3
        + [("decoder", None), ("added_tokens", []), ("added_tokens", None), ("version", "2.0")]
    )
    return set_key(path, key, value)


def lengths(folder: Path, draw: Random) -> str:
    """The file cuts and pads texts itself."""
    path, _ = _tokenizer(folder)
    return set_key(path, *draw.choice(LENGTHS))


def template(folder: Path, draw: Random) -> str:
    """The post-processor puts other tokens around a text, or gives them another type."""
    path, content = _tokenizer(folder)
    processor = content.get("post_processor")
    if not isinstance(processor, dict) or not isinstance(processor.get("single"), list):
        raise Impossible
    what = draw.choice(("reversed", "twice", "types", "nothing", "ids", "many", "bert", "roberta"))
    single = processor["single"]
    if what == "types":
        single[-1][next(iter(single[-1]))]["type_id"] = 1
    elif what == "ids":
        for token in processor["special_tokens"].values():
            token["ids"] = [number + draw.choice((1, 5000)) for number in token["ids"]]
    elif what in ("bert", "roberta"):
        processor = {"type": f"{what.title()}Processing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
        content["post_processor"] = processor | {"trim_offsets": True, "add_prefix_space": False}
    else:
        processor["single"] = {
            "reversed": single[::-1], "twice": single * 2, "nothing": [], "many": single[:1] * 40,
        }[what]  # fmt: skip
    write(path, content)
    return f"tokenizer.json: post_processor {what}"


def vocabulary(folder: Path, draw: Random) -> str:
    """Tokens are missing, have other numbers, or the numbers of others."""
    path, content = _tokenizer(folder)
    vocab = content["model"].get("vocab")
    what = draw.choice(
        ("dropped", "shifted", "one shifted", "same", "empty", "negative", "swapped")
    )
    if isinstance(vocab, dict):
        names = sorted(vocab, key=lambda name: vocab[name])
        one = draw.choice(names)
        content["model"]["vocab"] = {
            "dropped": {name: vocab[name] for name in names if draw.random() < 0.95},
            "shifted": {name: vocab[name] + 1 for name in names},
            "one shifted": {**vocab, one: 5000},
            "same": {**vocab, one: vocab[names[-1]]},
            "empty": {},
            "negative": {**vocab, one: -1},
            "swapped": {**vocab, names[5]: vocab[names[-1]], names[-1]: vocab[names[5]]},
        }[what]
    elif isinstance(vocab, list) and vocab:
        content["model"]["vocab"] = {
            "dropped": [entry for entry in vocab if draw.random() < 0.95],
            "empty": [],
            "swapped": [*vocab[:5], *vocab[5:][::-1]],
        }.get(what, vocab[1:])
    else:
        raise Impossible
    write(path, content)
    return f"tokenizer.json: vocabulary {what}"


def model(folder: Path, draw: Random) -> str:
    """Another kind of tokenizer, or another option of the same."""
    path, content = _tokenizer(folder)
    key, value = draw.choice(
        (
            *(
                ("type", kind)
                for kind in ("WordPiece", "BPE", "Unigram", "WordLevel", "Unheard", None)
            ),
            *(("unk_token", token) for token in ("[UNK]", "[SEP]", "<own>", None)),
            *(("unk_id", number) for number in (0, 3, 5000, None)),
            *(("byte_fallback", value) for value in (True, False)),
            *(("fuse_unk", True), ("ignore_merges", True), ("dropout", 0.5), ("dropout", 0.0)),
            *(("continuing_subword_prefix", "@@"), ("end_of_word_suffix", "</w>")),
            *(("max_input_chars_per_word", n) for n in (1, 5, 10**6)),
            *(("merges", []), ("merges", [["q", "zz"]]), ("merges", None)),
        )
    )
    content["model"][key] = value
    write(path, content)
    return f"tokenizer.json: model.{key} = {value!r}"


def added_token(folder: Path, draw: Random) -> str:
    """One more added token, or another number or kind of one."""
    path, content = _tokenizer(folder)
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    token = {
        "id": draw.choice((0, 3, 5, 99, 400, 5000)),
        "content": draw.choice(("the", "<own>", "[SEP]", "", "é", " ")),
        **{flag: draw.random() < 0.5 for flag in flags},
    }
    tokens = content.get("added_tokens")
    write(path, content | {"added_tokens": [*(tokens if isinstance(tokens, list) else []), token]})
    return f"tokenizer.json: added token {token['content']!r} {token['id']}"


def setting(folder: Path, draw: Random) -> str:
    """A key of tokenizer_config.json."""
    return set_key(folder / "tokenizer_config.json", *draw.choice(SETTINGS))


def special_tokens(folder: Path, draw: Random) -> str:
    """special_tokens_map.json says otherwise."""
    kind = choose(
        draw, ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token", "eos_token")
    )
    return set_key(folder / "special_tokens_map.json", kind, draw.choice(TOKENS))


MUTATIONS = (
    part, part, lengths, template, vocabulary, vocabulary, model, added_token, setting, setting,
    setting, special_tokens,
)  # fmt: skip
