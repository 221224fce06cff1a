"""Files: missing, empty, cut, unreadable, a folder in their place; and earlier names."""

import shutil
from pathlib import Path
from random import Random

from tests.export.mutations.drawing import Impossible, choose, read_object, set_key, write


def _file(folder: Path, draw: Random) -> Path:
    return choose(draw, sorted(path for path in folder.rglob("*") if path.is_file()))


def removed(folder: Path, draw: Random) -> str:
    """A file is missing."""
    path = _file(folder, draw)
    path.unlink()
    return f"{path.relative_to(folder)} removed"


def removed_folder(folder: Path, draw: Random) -> str:
    """A module's folder is missing."""
    path = choose(draw, sorted(path for path in folder.iterdir() if path.is_dir()))
    shutil.rmtree(path)
    return f"{path.relative_to(folder)}/ removed"


def emptied(folder: Path, draw: Random) -> str:
    """A file holds nothing."""
    path = _file(folder, draw)
    path.write_bytes(b"")
    return f"{path.relative_to(folder)} emptied"


def cut(folder: Path, draw: Random) -> str:
    """A file ends too early, as after a download that was broken off."""
    path = _file(folder, draw)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * draw.random())])
    return f"{path.relative_to(folder)} cut"


def damaged(folder: Path, draw: Random) -> str:
    """A byte of a file is another."""
    path = _file(folder, draw)
    content = bytearray(path.read_bytes())
    if not content:
        raise Impossible
    at = draw.randrange(len(content))
    content[at] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    return f"{path.relative_to(folder)}: byte {at} is another"


def folder_instead(folder: Path, draw: Random) -> str:
    """A folder has the name of a file."""
    path = _file(folder, draw)
    path.unlink()
    path.mkdir()
    return f"{path.relative_to(folder)} is a folder"


def dangling(folder: Path, draw: Random) -> str:
    """A link goes nowhere, as in the cache of a hub that was emptied."""
    path = _file(folder, draw)
    path.unlink()
    path.symlink_to("gone")
    return f"{path.relative_to(folder)} is a link to nowhere"


def not_json(folder: Path, draw: Random) -> str:
    """A JSON file holds something else."""
    path = choose(draw, sorted(folder.rglob("*.json")))
    if not path.is_file():
        raise Impossible
    text = draw.choice(
        (
            "{",
            "null",
            "[]",
            '"text"',
            "7",
            "{'a': 1}",
            "[" * 100_000,
            "version https://git-lfs",
            "NaN",
        )
    )
    path.write_text(text)
    return f"{path.relative_to(folder)} holds {text[:20]}"


def other_encoding(folder: Path, draw: Random) -> str:
    """A JSON file is no UTF-8, or begins with a byte order mark."""
    path = choose(draw, sorted(folder.rglob("*.json")))
    if not path.is_file():
        raise Impossible
    encoding = draw.choice(("utf-16", "utf-8-sig", "latin-1"))
    text = path.read_text().replace("}", ', "own": "é"}', 1)
    path.write_bytes(text.encode(encoding, errors="replace"))
    return f"{path.relative_to(folder)} is {encoding}"


def old_limits(folder: Path, draw: Random) -> str:
    """The limits stand in a file of an older name, alone or beside the present one."""
    source = folder / "sentence_bert_config.json"
    name = draw.choice(("sentence_roberta_config.json", "sentence_xlm-roberta_config.json"))
    limits = read_object(source)
    if draw.random() < 0.5:
        source.unlink()
    write(folder / name, limits | {"max_seq_length": 24})
    return f"{name} says 24"


def adapter(folder: Path, draw: Random) -> str:
    """Settings of an adapter lie beside the weights."""
    config = {
        "peft_type": "LORA",
        "r": 8,
        "target_modules": ["query"],
        "base_model_name_or_path": "x",
    }
    write(folder / "adapter_config.json", draw.choice((config, {})))
    return "adapter_config.json added"


def own_code(folder: Path, draw: Random) -> str:
    """A file of code lies there, and a key asks for it."""
    (folder / "modeling_own.py").write_text("raise SystemExit('it was run')\n")
    name = draw.choice(("config.json", "tokenizer_config.json"))
    part = "AutoModel" if name == "config.json" else "AutoTokenizer"
    return set_key(folder / name, "auto_map", {part: "modeling_own.Own"})


def beside(folder: Path, draw: Random) -> str:
    """A file that libraries look for, and that says nothing new."""
    name, content = draw.choice(
        (
            ("chat_template.jinja", "{{ messages[0].content }} said the user"),
            ("generation_config.json", '{"max_length": 5}'),
            ("vocab.txt", "[PAD]\n[UNK]\n"),
            ("added_tokens.json", '{"<own>": 9999}'),
            ("preprocessor_config.json", '{"image_processor_type": "CLIPImageProcessor"}'),
            ("processor_config.json", '{"processor_class": "CLIPProcessor"}'),
            ("router_config.json", '{"types": {}}'),
            ("config_setfit.json", "{}"),
            ("README.md", "---\nlicense: [\n---"),
            ("tokenizer.model", "no sentencepiece"),
            ("spiece.model", "no sentencepiece"),
            ("merges.txt", "a b\n"),
        )
    )
    (folder / name).write_text(content)
    return f"{name} added"


MUTATIONS = (
    removed, removed, removed_folder, emptied, cut, damaged, folder_instead, dangling, not_json,
    other_encoding, old_limits, adapter, own_code, beside, beside,
)  # fmt: skip
