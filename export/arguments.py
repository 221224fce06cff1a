"""What a command line may say; its help."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from export.checkpoint import DEFAULT_CHECKPOINT, PoolingOption
from export.serving import CPU_TOKENS, LIMITS, MOST_GPUS, Precision, Target

BUILD = "build-engines"
EPILOG = """
`python -m export build-engines REPOSITORY` builds the engines of models exported for TensorRT,
where they will run.

Exit codes: 0 exported or already there, 1 a file cannot be read or written, 2 wrong arguments,
3 no such checkpoint, 4 the model cannot be served exactly, 5 conversion failed, 6 verification
failed, 7 conflict in the output, 70 an error that nobody expected.
"""


def parser() -> argparse.ArgumentParser:
    """Of an export."""
    made = argparse.ArgumentParser(
        prog="python -m export",
        description="Export an embedding checkpoint into a Triton model repository, verified.",
        epilog=EPILOG,
    )
    add = made.add_argument
    add(
        "checkpoint",
        nargs="?",
        type=_text,
        default=DEFAULT_CHECKPOINT,
        help="Hub id or folder (default: %(default)s)",
    )
    add("--output", type=_path, required=True, help="model repository; other models in it stay")
    add(
        "--served-name",
        type=_text,
        help="what clients send as model (default: the Hub id or folder name)",
    )
    add("--alias", action="append", default=[], help="further name; repeat, or separate by commas")
    add("--matryoshka", action="store_true", help="trained for cut dimensions: allow `dimensions`")
    add("--revision", type=_text, help="commit, tag or branch of a Hub id (default: the newest)")
    add("--pooling", choices=get_args(PoolingOption), help="where the checkpoint does not say")
    add(
        "--ignore",
        action="append",
        default=[],
        type=_text,
        metavar="KEY",
        help="key of a checkpoint's file that nobody reads and that changes nothing; repeat",
    )
    add("--max-length", type=_number(1, 2**20), help="tokens (default: the checkpoint's limit)")
    _add_serving(made)
    add("--force", action="store_true", help="export again even if nothing changed")
    add("--traceback", action="store_true", help="show where a library's error came from")
    return made


def builder() -> argparse.ArgumentParser:
    """Of what comes after BUILD."""
    made = argparse.ArgumentParser(
        prog=f"python -m export {BUILD}",
        description="Build the engines of models that were exported for TensorRT, for the GPUs "
        "that are here and the versions that are installed here.",
    )
    made.add_argument("output", type=_path, metavar="REPOSITORY", help="an --output of exports")
    made.add_argument("--served-name", type=_text, help="of one model (default: all)")
    made.add_argument("--traceback", action="store_true", help="show where an error came from")
    return made


def _add_serving(parser: argparse.ArgumentParser) -> None:
    """What runs the encoder, and how much of the machine."""
    add = parser.add_argument_group("serving").add_argument
    add(
        "--target",
        choices=get_args(Target),
        default="cpu",
        help="what runs the encoder: CPUs, or a GPU by CUDA or by TensorRT (default: %(default)s)",
    )
    add(
        "--precision",
        choices=get_args(Precision),
        help="weights of the encoder: fp32 (default) or int8 on CPUs; fp16, bf16 or fp32 on a GPU "
        "(default: fp16, or bf16 where the model does not bear it)",
    )
    add(
        "--gpus",
        type=_gpus,
        default=(),
        metavar="0,1",
        help="GPUs, as Triton counts them (default: every one that it sees)",
    )
    for option, default, what in (
        ("instances", 1, "encoders, on each GPU if on any (default: 1)"),
        ("tokenizers", None, "tokenizers, each with a core (default: 1, beside a GPU 4)"),
        ("quantizers", None, "quantizers, each with a core (default: 1, beside a GPU 2)"),
        (
            "segments_mib",
            32,
            "memory of a tokenizer for the ids of words that it has met, 0 for none (default: 32)",
        ),
        ("threads", 0, "threads of an encoder on CPUs, 0 for all cores (default: 0)"),
        (
            "micro_batch_tokens",
            None,
            f"tokens of a micro-batch (default: {CPU_TOKENS} on CPUs, "
            "on a GPU by the size of the model, 4096 to 16384)",
        ),
        (
            "memory_mib",
            0,
            "working memory of an encoder beside its weights (default: 0, which is "
            "512 a thread on CPUs, and what its micro-batches need on a GPU)",
        ),
    ):
        add(
            f"--{option.replace('_', '-')}",
            type=_number(*LIMITS[option]),
            default=default,
            metavar="N",
            help=what,
        )
    add(
        "--no-spinning",
        dest="spinning",
        action="store_false",
        help="let waiting threads of CPUs sleep: less CPU, slower lone texts",
    )


def _text(word: str) -> str:
    if not word.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return word


def _path(word: str) -> Path:
    return Path(_text(word))


def _number(least: int, most: int) -> Callable[[str], int]:
    def read_number(word: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", word) or not least <= int(word) <= most:
            raise argparse.ArgumentTypeError(f"{word!r} is not a number from {least} to {most}")
        return int(word)

    return read_number


def _gpus(word: str) -> tuple[int, ...]:
    return tuple(map(_number(0, MOST_GPUS - 1), word.split(",")))
