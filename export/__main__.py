"""python -m export: arguments, progress, the summary, the exit code."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from export.checkpoint import DEFAULT_CHECKPOINT, Pooling
from export.errors import ExportError
from export.pipeline import ExportOptions, ExportResult, export_model
from export.repository import Precision, Serving

EPILOG = """
Exit codes: 0 exported or already there, 1 a file cannot be read or written, 2 wrong arguments,
3 no such checkpoint, 4 the model cannot be served exactly, 5 conversion failed, 6 verification
failed, 7 conflict in the output.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an export as the command line asks; returns the exit code."""
    options = parse(arguments)
    try:
        result = export_model(options, report=lambda line: print(line, flush=True))
    except ExportError as error:
        print(f"export: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(
            f"export: {error.filename or options.output}: {error.strerror or error}",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("export: interrupted, nothing was changed", file=sys.stderr)
        return 130
    print(summary(options, result))
    return 0


def parse(arguments: Sequence[str] | None) -> ExportOptions:
    """The options that the command line asks for."""
    given = _parser().parse_args(arguments)
    checkpoint = given.checkpoint or DEFAULT_CHECKPOINT
    served_name = given.served_name or _default_name(checkpoint)
    aliases = [alias for word in given.alias for alias in word.split(",") if alias]
    return ExportOptions(
        output=given.output,
        serving=Serving(
            served_name=served_name,
            aliases=tuple(aliases),
            matryoshka=given.matryoshka,
            precision=given.precision,
            micro_batch_tokens=given.micro_batch_tokens,
            threads=given.threads,
            instances=given.instances,
            spinning=given.spinning,
        ),
        checkpoint=checkpoint,
        revision=given.revision,
        pooling=given.pooling,
        max_length=given.max_length,
        force=given.force,
    )


def _default_name(checkpoint: str) -> str:
    """A Hub id serves under its own name, a folder under its last part."""
    return Path(checkpoint).resolve().name if Path(checkpoint).is_dir() else checkpoint


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description="Export an embedding checkpoint into a Triton model repository, verified.",
        epilog=EPILOG,
    )
    add = parser.add_argument
    add("checkpoint", nargs="?", help=f"Hub id or folder (default: {DEFAULT_CHECKPOINT})")
    add("--output", type=Path, required=True, help="model repository; other models in it stay")
    add("--served-name", help="what clients send as model (default: the Hub id or folder name)")
    add("--alias", action="append", default=[], help="further name; repeat, or separate by commas")
    add("--matryoshka", action="store_true", help="trained for cut dimensions: allow `dimensions`")
    add("--revision", help="commit, tag or branch of a Hub id (default: its newest commit)")
    add("--pooling", choices=get_args(Pooling), help="where the checkpoint does not say")
    add("--max-length", type=_positive, help="tokens of a text (default: the checkpoint's limit)")
    add("--precision", choices=get_args(Precision), default="fp32", help="weights of the encoder")
    add("--threads", type=int, default=0, help="encoder threads (default: 0, all cores)")
    add("--instances", type=_positive, default=1, help="encoders (default: %(default)s)")
    add(
        "--no-spinning",
        dest="spinning",
        action="store_false",
        help="let waiting encoder threads sleep: less CPU, slower lone texts",
    )
    add("--micro-batch-tokens", type=_positive, default=128, help="tokens (default: %(default)s)")
    add("--force", action="store_true", help="export again even if nothing changed")
    return parser


def _positive(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def summary(options: ExportOptions, result: ExportResult) -> str:
    """What was measured, and where it is."""
    if not result.fresh:
        return f"{options.serving.served_name}: already exported to {options.output}, unchanged"
    measured = result.manifest.verification | (result.manifest.quality or {})
    lines = [f"  {key} = {value!r}" for key, value in measured.items()]
    return "\n".join([f"{options.serving.served_name}: exported to {options.output}", *lines])


if __name__ == "__main__":
    sys.exit(main())
