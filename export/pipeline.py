"""A checkpoint → a complete, verified model in a Triton model repository, or nothing."""

import json
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export.checkpoint import DEFAULT_CHECKPOINT, Checkpoint, ModelSpec, Pooling, describe, resolve
from export.errors import RepositoryConflict
from export.graph.quality import Quality, calibration_texts, compare, embed_corpus
from export.manifest import (
    Manifest,
    exporter_digest,
    hash_files,
    is_intact,
    library_versions,
    read_manifest,
    served_names,
    write_manifest,
)
from export.repository import (
    Serving,
    check_name,
    staging,
    step_folder,
    write_configs,
    write_steps,
)
from export.steps.tokenization import PackedTokenizer

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What is exported, whereto, and how it is served."""

    output: Path
    serving: Serving
    checkpoint: str = DEFAULT_CHECKPOINT  # Hub id or folder
    revision: str | None = None  # commit, tag or branch of a Hub id
    pooling: Pooling | None = None  # None: as the checkpoint says
    max_length: int | None = None  # tokens; None: as the checkpoint says
    force: bool = False  # export again even if nothing changed


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The manifest of the model in the output, and whether this call put it there."""

    manifest: Manifest
    fresh: bool


def export_model(options: ExportOptions, report: Report = print) -> ExportResult:
    """Export one checkpoint into the output's model repository.

    report  is told each step in one line

    Raises: ExportError; whatever is raised, the output is what it was before.
    """
    name = options.serving.name
    check_name(options.serving.served_name)
    checkpoint = resolve(options.checkpoint, options.revision)
    request = _request(options, checkpoint)
    known = read_manifest(options.output, name)
    if known and not options.force and known.request == request:
        if is_intact(options.output, known):
            return ExportResult(known, fresh=False)
        report("A file is not the one that was verified: exporting again")
    _check_conflicts(options)
    spec = describe(checkpoint, options.pooling, options.max_length)
    with staging(options.output, name) as staged:
        manifest = _build(staged, options, checkpoint, spec, request, report)
    return ExportResult(manifest, fresh=True)


def _build(
    staged: Path,
    options: ExportOptions,
    checkpoint: Checkpoint,
    spec: ModelSpec,
    request: dict[str, Any],
    report: Report,
) -> Manifest:
    """Write all files of the model into the staged repository, verified, the manifest last."""
    from export.graph.encoder import load_transformer  # torch: seconds to import
    from export.tokenizer import load_tokenizer, write_tokenizer
    from export.verification import verify

    name = options.serving.name
    tokenizer_json = step_folder(staged, name, "tokenizer") / "tokenizer.json"
    model_onnx = step_folder(staged, name, "encoder") / "model.onnx"
    report(f"Reading {options.checkpoint} ({spec.architecture}, {spec.pooling} pooling)")
    tokenizer = load_tokenizer(checkpoint.folder)
    transformer = load_transformer(checkpoint.folder)
    write_steps(staged, name)
    write_tokenizer(tokenizer, tokenizer_json)
    report(f"Converting the encoder to ONNX, {options.serving.precision}")
    quality = _write_encoder(transformer, tokenizer_json, model_onnx, spec, options.serving)
    write_configs(staged, spec, options.serving, checkpoint.revision)
    report("Verifying the staged files against transformers")
    verification = verify(tokenizer_json, model_onnx, spec, options.serving, transformer, tokenizer)
    manifest = Manifest(
        request=request,
        revision=checkpoint.revision,
        versions=library_versions(),
        files=hash_files(staged, name),
        verification=asdict(verification),
        quality=None if quality is None else asdict(quality),
        check=_command(options),
    )
    write_manifest(staged, name, manifest)
    return manifest


def _write_encoder(
    transformer: Any, tokenizer_json: Path, model_onnx: Path, spec: ModelSpec, serving: Serving
) -> Quality | None:
    """Write model.onnx in the asked precision; int8 is compared with float32 on the way."""
    from export.graph.calibration import watch_inputs
    from export.graph.encoder import convert, write_model
    from export.graph.int8 import use_int8

    model = convert(transformer, spec.pooling)
    write_model(model, model_onnx)
    if serving.precision == "fp32":
        return None
    tokenizer = PackedTokenizer(tokenizer_json, spec.max_length)
    exact = embed_corpus(model_onnx, tokenizer, serving.micro_batch_tokens, "fp32")
    use_int8(model, watch_inputs(model, tokenizer, calibration_texts()))
    write_model(model, model_onnx)
    return compare(exact, embed_corpus(model_onnx, tokenizer, serving.micro_batch_tokens, "int8"))


def _request(options: ExportOptions, checkpoint: Checkpoint) -> dict[str, Any]:
    """All that the result depends on, as JSON would give it back."""
    asked = {
        "checkpoint": options.checkpoint,
        "revision": checkpoint.revision,
        "pooling": options.pooling,
        "max_length": options.max_length,
        "serving": asdict(options.serving),
        "exporter": exporter_digest(),
        "versions": library_versions(),
    }
    request: dict[str, Any] = json.loads(json.dumps(asked))
    return request


def _check_conflicts(options: ExportOptions) -> None:
    """Raises: RepositoryConflict if another model of the output answers to a name of this one."""
    ours = {options.serving.served_name, *options.serving.aliases}
    for name, theirs in served_names(options.output).items():
        taken = sorted(ours & theirs)
        if name != options.serving.name and taken:
            raise RepositoryConflict(f"{options.output}: {name} already answers to {taken[0]}")
        if name == options.serving.name and options.serving.served_name not in theirs:
            raise RepositoryConflict(
                f"{options.output}: {options.serving.served_name} would replace the files of "
                f"another model in the folder {name}"
            )


def _command(options: ExportOptions) -> str:
    """The command that makes and verifies the same export again."""
    serving = options.serving
    words = ["python", "-m", "export", options.checkpoint, "--served-name", serving.served_name]
    words += ["--revision", options.revision] if options.revision else []
    words += ["--pooling", options.pooling] if options.pooling else []
    words += ["--max-length", str(options.max_length)] if options.max_length else []
    words += [word for alias in serving.aliases for word in ("--alias", alias)]
    words += ["--matryoshka"] if serving.matryoshka else []
    words += ["--precision", serving.precision]
    return shlex.join([*words, "--force", "--output", str(options.output)])
