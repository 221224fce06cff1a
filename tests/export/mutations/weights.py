"""Tensors: missing, renamed, transposed, of another shape or kind, not finite; and other files."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.export.mutations.drawing import Impossible, choose, write

Tensors = dict[str, Tensor]


def _read(path: Path) -> Tensors:
    try:
        if path.suffix == ".bin":
            loaded: Tensors = torch.load(path, weights_only=True)
            return loaded
        return dict(load_file(path))
    except Exception as error:  # another mutation has broken it, in whatever way
        raise Impossible from error


def _write(path: Path, tensors: Tensors) -> None:
    if path.suffix == ".bin":
        torch.save(tensors, path)
    else:
        kept = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(kept, path, metadata={"format": "pt"})


def _path(folder: Path, draw: Random) -> Path:
    found = (path for path in folder.rglob("*") if path.suffix in (".bin", ".safetensors"))
    return choose(draw, sorted(path for path in found if path.is_file()))


def _one(folder: Path, draw: Random, change: Callable[[Tensor], Tensor], what: str) -> str:
    """One tensor becomes another."""
    path = _path(folder, draw)
    tensors = _read(path)
    name = choose(draw, tensors)
    tensors[name] = change(tensors[name])
    _write(path, tensors)
    return f"{path.relative_to(folder)}: {name} {what}"


def missing(folder: Path, draw: Random) -> str:
    """A tensor is not there."""
    path = _path(folder, draw)
    tensors = _read(path)
    name = choose(draw, tensors)
    del tensors[name]
    _write(path, tensors)
    return f"{path.relative_to(folder)}: {name} is missing"


def renamed(folder: Path, draw: Random) -> str:
    """A tensor has another name, or all have one more part in front."""
    path = _path(folder, draw)
    tensors = _read(path)
    if draw.random() < 0.5:
        name = choose(draw, tensors)
        tensors[f"{name}_own"] = tensors.pop(name)
        _write(path, tensors)
        return f"{path.relative_to(folder)}: {name} renamed"
    front = draw.choice(("model.", "bert.", "0.auto_model.", "encoder.", "base_model.model."))
    _write(path, {front + name: tensor for name, tensor in tensors.items()})
    return f"{path.relative_to(folder)}: {front} before all names"


def transposed(folder: Path, draw: Random) -> str:
    """A matrix lies on its side."""
    return _one(
        folder, draw, lambda tensor: tensor.t() if tensor.ndim == 2 else tensor[:-1], "turned"
    )


def reshaped(folder: Path, draw: Random) -> str:
    """A tensor has fewer rows, more rows, one more axis, or no number at all."""
    changes: dict[str, Callable[[Tensor], Tensor]] = {
        "without its last row": lambda tensor: tensor[:-1],
        "twice": lambda tensor: torch.cat([tensor, tensor]),
        "with one more axis": lambda tensor: tensor[None],
        "without numbers": lambda tensor: tensor[:0],
        "in columns of one": lambda tensor: tensor[..., None],
    }
    what = draw.choice(list(changes))
    return _one(folder, draw, changes[what], what)


def not_finite(folder: Path, draw: Random) -> str:
    """One number of a tensor, or all of them, is none."""
    value = draw.choice((float("nan"), float("inf"), -float("inf"), 1e38, 3e4))
    whole = draw.random() < 0.3

    def change(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            raise Impossible
        changed = tensor.clone()
        flat = changed.view(-1)
        flat[slice(None) if whole else draw.randrange(max(len(flat), 1))] = value
        return changed

    return _one(folder, draw, change, f"{'is' if whole else 'holds'} {value}")


def zero(folder: Path, draw: Random) -> str:
    """A tensor is zero."""
    return _one(folder, draw, torch.zeros_like, "is zero")


def other_kind(folder: Path, draw: Random) -> str:
    """One tensor, or all, are of another kind of number."""
    path = _path(folder, draw)
    tensors = _read(path)
    kind = draw.choice(
        (torch.bfloat16, torch.float16, torch.float64, torch.int8, torch.bool, torch.float8_e4m3fn)
    )
    chosen = set(tensors) if draw.random() < 0.6 else {choose(draw, tensors)}
    _write(path, {name: t.to(kind) if name in chosen else t for name, t in tensors.items()})
    names = "all" if len(chosen) == len(tensors) > 1 else ", ".join(chosen)
    return f"{path.relative_to(folder)}: {names} {kind}"


def extra(folder: Path, draw: Random) -> str:
    """A tensor more."""
    path = _path(folder, draw)
    name = draw.choice(
        ("linear.weight", "lm_head.weight", "cls.predictions.bias", "classifier.weight",
         "encoder.layer.7.output.dense.weight", "layers.9.mlp.up_proj.weight", "pooler.dense.bias",
         "embeddings.position_ids", "own", "lora_A.weight", "score.weight", "linear.weight_scale")
    )  # fmt: skip
    _write(path, {**_read(path), name: torch.ones(2, 2)})
    return f"{path.relative_to(folder)}: {name} added"


def shards(folder: Path, draw: Random) -> str:
    """The weights lie in two files with an index, which is right, or is not."""
    path = folder / "model.safetensors"
    tensors = _read(path)
    path.unlink()
    names = sorted(tensors)
    halves = [names[::2], names[1::2]]
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for file, half in zip(files, halves, strict=True):
        _write(folder / file, {name: tensors[name] for name in half})
    placed = {name: file for file, half in zip(files, halves, strict=True) for name in half}
    wrong = draw.choice(
        ("right", "a name less", "a file that is not there", "swapped", "none", "outside")
    )
    if wrong == "a name less":
        del placed[names[0]]
    elif wrong == "a file that is not there":
        (folder / files[1]).unlink()
    elif wrong == "swapped":
        placed = {name: files[1 - files.index(file)] for name, file in placed.items()}
    elif wrong == "outside":
        placed[names[0]] = "../../model.safetensors"
    if wrong != "none":
        index = {"metadata": {"total_size": 1}, "weight_map": placed}
        write(folder / "model.safetensors.index.json", index)
    return f"two shards, their index: {wrong}"


def both_formats(folder: Path, draw: Random) -> str:
    """Other weights in the older format lie beside."""
    tensors = _read(folder / "model.safetensors")
    path = folder / "pytorch_model.bin"
    torch.save({name: tensor * 2 for name, tensor in tensors.items()}, path)
    if draw.random() < 0.5:
        (folder / "model.safetensors").unlink()
        return "pytorch_model.bin, twice as large, instead of model.safetensors"
    return "pytorch_model.bin, twice as large, beside model.safetensors"


def pickled(folder: Path, draw: Random) -> str:
    """A pickle holds more than tensors."""
    for path in folder.glob("model*.safetensors"):
        path.unlink()
    torch.save(
        {"embeddings": Path("/bin/true"), "drawn": draw.random()}, folder / "pytorch_model.bin"
    )
    return "pytorch_model.bin holds a path"


def no_format(folder: Path, draw: Random) -> str:
    """A safetensors file does not say which library wrote it."""
    path = _path(folder, draw)
    if path.suffix == ".bin":
        raise Impossible
    save_file(_read(path), path, metadata=draw.choice((None, {"format": "tf"}, {"format": "mlx"})))
    return f"{path.relative_to(folder)}: another format is stated, or none"


MUTATIONS = (
    missing, renamed, transposed, reshaped, not_finite, not_finite, zero, other_kind, other_kind,
    extra, shards, both_formats, pickled, no_format,
)  # fmt: skip
