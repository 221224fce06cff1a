"""python -m export: arguments, progress, the summary, the exit code."""

import argparse
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from export.checkpoint import DEFAULT_CHECKPOINT, PoolingOption
from export.errors import CheckpointNotFound, ExportError, WrongOption
from export.names import check_name
from export.pipeline import ExportOptions, ExportResult, export_model
from export.serving import CPU_TOKENS, LIMITS, MOST_GPUS, Precision, Serving, Target

EPILOG = """
Exit codes: 0 exported or already there, 1 a file cannot be read or written, 2 wrong arguments,
3 no such checkpoint, 4 the model cannot be served exactly, 5 conversion failed, 6 verification
failed, 7 conflict in the output, 70 an error that nobody expected.
"""
NOT_INSTALLED, UNEXPECTED, INTERRUPTED = 1, 70, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an export as the command line asks; returns the exit code."""
    given = _parser().parse_args(arguments)
    try:
        options = read(given)
        result = export_model(options, report=lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        return _end("interrupted; what the output holds is whole", INTERRUPTED)
    except ExportError as error:
        if given.traceback and error.__cause__ is not None:
            traceback.print_exception(error)
        return _end(str(error), error.exit_code)
    except OSError as error:
        return _end(f"{error.filename or given.output}: {error.strerror or error}", 1)
    except ImportError as error:
        hint = "pip install 'triton-embeddings[export]'"
        return _end(f"the exporter's libraries are not installed ({error}): {hint}", 1)
    except Exception as error:  # the last handler
        if given.traceback:
            traceback.print_exception(error)
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        return _end(f"unexpected, --traceback shows where: {reason}", UNEXPECTED)
    print(summary(options, result))
    return 0


def _end(sentence: str, code: int) -> int:
    print(f"export: {sentence}", file=sys.stderr)
    return code


def read(given: argparse.Namespace) -> ExportOptions:
    """The options that the command line asks for.

    Raises: WrongOption.
    """
    aliases = [alias.strip() for word in given.alias for alias in word.split(",")]
    serving = Serving(
        served_name=given.served_name or _default_name(given.checkpoint),
        aliases=tuple(dict.fromkeys(alias for alias in aliases if alias)),
        matryoshka=given.matryoshka,
        target=given.target,
        precision=given.precision,
        micro_batch_tokens=given.micro_batch_tokens,
        memory_mib=given.memory_mib,
        threads=given.threads,
        instances=given.instances,
        spinning=given.spinning,
        gpus=given.gpus,
        tokenizers=given.tokenizers,
        quantizers=given.quantizers,
    )
    return ExportOptions(
        output=given.output,
        serving=serving,
        checkpoint=given.checkpoint,
        revision=given.revision,
        pooling=given.pooling,
        max_length=given.max_length,
        ignored=tuple(dict.fromkeys(given.ignore)),
        force=given.force,
    )


def _default_name(checkpoint: str) -> str:
    """A Hub id serves under its own name, a folder under its last part.

    Raises: CheckpointNotFound for what can be neither.
    """
    if Path(checkpoint).is_dir():
        return Path(checkpoint).resolve().name
    try:
        check_name(checkpoint, "checkpoint")
    except WrongOption as error:
        raise CheckpointNotFound(f"{checkpoint} is neither a folder nor a Hub id") from error
    return checkpoint


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description="Export an embedding checkpoint into a Triton model repository, verified.",
        epilog=EPILOG,
    )
    add = parser.add_argument
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
    _add_serving(parser)
    add("--force", action="store_true", help="export again even if nothing changed")
    add("--traceback", action="store_true", help="show where a library's error came from")
    return parser


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


def summary(options: ExportOptions, result: ExportResult) -> str:
    """What was measured, and where it is."""
    served_name, output = options.serving.served_name, options.output
    if not result.fresh:
        return f"{served_name}: already exported to {output}, unchanged"
    manifest = result.manifest
    measured = {"edition": manifest.edition, **manifest.verification, **(manifest.quality or {})}
    lines = [f"  {key} = {value!r}" for key, value in measured.items()]
    if result.replaced:
        lines.append(f"  replaced = {' '.join(result.replaced)}")
    return "\n".join([f"{served_name}: exported to {output}", *lines])


if __name__ == "__main__":
    sys.exit(main())
