"""python -m export: progress, the summary, the exit code."""

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from export.arguments import BUILD, builder, parser
from export.errors import CheckpointNotFound, ExportError, WrongOption
from export.names import check_name
from export.pipeline import ExportOptions, ExportResult, export_model
from export.serving import Serving

NOT_INSTALLED, UNEXPECTED, INTERRUPTED = 1, 70, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an export as the command line asks; returns the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == [BUILD]:
        given = builder().parse_args(words[1:])
        return _tried(given, lambda: _build(given))
    given = parser().parse_args(words)
    return _tried(given, lambda: _export(given))


def _export(given: argparse.Namespace) -> None:
    options = read(given)
    print(summary(options, export_model(options, report=_report)))


def _build(given: argparse.Namespace) -> None:
    from export.engines import build_engines

    build_engines(given.output, given.served_name, _report)


def _report(line: str) -> None:
    print(line, flush=True)


def _tried(given: argparse.Namespace, work: Callable[[], None]) -> int:
    """The exit code of what was done, or of the one sentence why it was not."""
    try:
        work()
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
        segments_mib=given.segments_mib,
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
