"""A checkpoint → a complete, verified model in a Triton model repository, or nothing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export.checkpoint import (
    DEFAULT_CHECKPOINT,
    Checkpoint,
    ModelSpec,
    PoolingOption,
    check_pooling,
    resolve,
)
from export.contents import check_room, holdings
from export.errors import (
    UnsupportedModel,
    VerificationFailed,
    WrongOption,
    shorten,
    told,
)
from export.guard import check, check_name
from export.manifest import (
    Manifest,
    exporter_digest,
    hash_files,
    is_intact,
    library_versions,
    read_manifest,
    write_manifest,
)
from export.output import locked, publish, remove_leftovers, staging, sweep
from export.repository import assemble, seal, version_folder, write_step_configs, write_steps
from export.serving import Serving
from export.translations import translated
from export.writing import writing

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What is exported, whereto, and how it is served."""

    output: Path
    serving: Serving
    checkpoint: str = DEFAULT_CHECKPOINT  # Hub id or folder
    revision: str | None = None  # commit, tag or branch of a Hub id
    pooling: PoolingOption | None = None  # None: as the checkpoint says
    max_length: int | None = None  # tokens; None: as the checkpoint says
    ignored: tuple[str, ...] = ()  # keys that nobody reads, known to change nothing
    force: bool = False  # export again even if nothing changed


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The manifest of the model in the output, and whether this call put it there.

    replaced  folders of an earlier edition that are gone; a running Triton may still serve them
    """

    manifest: Manifest
    fresh: bool
    replaced: tuple[str, ...] = ()


def export_model(options: ExportOptions, report: Report = print) -> ExportResult:
    """Export one checkpoint into the output's model repository.

    report  is told each step in one line

    Raises: ExportError, OSError; whatever is raised, what the output held is whole.
    """

    def look(folder: Path) -> None:
        check_name(options.checkpoint, folder)
        with translated(folder) as (read, _):
            check(read, options.ignored)
        check_pooling(folder, options.pooling)

    checkpoint = resolve(options.checkpoint, options.revision, report, look)
    _check_output(options.output, checkpoint)
    with locked(options.output, report) as output:
        request = _request(options, checkpoint)
        known = read_manifest(output, options.serving.name)
        if known and not options.force and known.request == request:
            if is_intact(output, known):
                swept = _clean(output, options.serving, known, report)
                return ExportResult(known, fresh=False, replaced=swept)
            report("A file is not the one that was verified: exporting again")
        check_room(output, options.serving)
        look(checkpoint.folder)
        return _export(output, options, checkpoint, request, report)


def _check_output(output: Path, checkpoint: Checkpoint) -> None:
    """Raises: WrongOption if the output is a part of the checkpoint."""
    folder = checkpoint.folder.resolve()
    if folder in (output.resolve(), *output.resolve().parents):
        raise WrongOption(f"--output {output} lies in the checkpoint {folder}: choose another")


def _export(
    output: Path,
    options: ExportOptions,
    checkpoint: Checkpoint,
    request: dict[str, Any],
    report: Report,
) -> ExportResult:
    """Build aside, then switch: the output is this export's alone."""
    serving = options.serving
    with staging(output) as staged:
        manifest = _build(staged, options, checkpoint, request, report)
        held = check_room(output, serving)  # again: others may have put something there meanwhile
        publish(staged, output, serving.name, manifest.folders)
        replaced = sweep(held, manifest.folders, staged, report)
    return ExportResult(manifest, fresh=True, replaced=replaced)


def _clean(output: Path, serving: Serving, manifest: Manifest, report: Report) -> tuple[str, ...]:
    """Remove what an export that was killed after its switch could not."""
    remove_leftovers(output)
    held = holdings(output, serving)
    if held.folders <= manifest.folders:
        return ()
    with staging(output) as trash:
        return sweep(held, manifest.folders, trash, report)


def _build(
    staged: Path,
    options: ExportOptions,
    checkpoint: Checkpoint,
    request: dict[str, Any],
    report: Report,
) -> Manifest:
    """Write all files of the model into the staged folder, verified, the manifest last."""
    from export.canary import put_canary
    from export.encoder import write_encoder
    from export.reference import load  # torch: seconds to import
    from export.sample import GPU_LONG_TOKENS, LONG_TOKENS, take_sample

    serving = options.serving
    tokenizer_json = version_folder(staged, "tokenizer") / "tokenizer.json"
    model_onnx = version_folder(staged, "encoder") / "model.onnx"
    report(f"Reading {options.checkpoint}")
    with translated(checkpoint.folder) as (folder, line):
        reference = load(folder, options.pooling, options.max_length)
    spec = reference.spec
    for note in (*([line] if line else []), *notes(spec)):
        report(note)
    write_steps(staged)
    with told(UnsupportedModel, "tokenizer.json: a copy of it cannot be made"):
        tokenizer = reference.tokenizer()
        with writing(tokenizer_json):
            tokenizer.save(str(tokenizer_json))
    windows, uncut = _decide_reading(tokenizer, tokenizer_json, spec, serving, report)
    longest = GPU_LONG_TOKENS if serving.is_on_gpu else LONG_TOKENS
    with told(VerificationFailed, "a text cannot be embedded"):
        sample = take_sample(
            tokenizer_json, reference, windows, longest, 0 if uncut else serving.segments_mib
        )
    encoder = write_encoder(reference, sample, tokenizer_json, model_onnx, serving, report)
    put_canary(model_onnx.parent, sample, encoder.serving.settled_precision)
    write_step_configs(staged, spec, encoder.serving, windows, uncut)
    edition = seal(staged)
    folders = assemble(staged, spec, encoder.serving, checkpoint.revision, edition)
    manifest = Manifest(
        request=request,
        revision=checkpoint.revision,
        edition=edition,
        weights=spec.weights,
        versions=library_versions(),
        files=hash_files(staged, folders),
        verification={
            **asdict(encoder.verification),
            "windows": windows,
            "ids_from": "tokenizers" if uncut else "segments",
            "why_no_segments": uncut or None,
        },
        quality=None if encoder.quality is None else asdict(encoder.quality),
        check=_command(options),
    )
    write_manifest(staged, serving.name, manifest)
    return manifest


def _decide_reading(
    tokenizer: Any, tokenizer_json: Path, spec: ModelSpec, serving: Serving, report: Report
) -> tuple[bool, str]:
    """Whether the step reads long texts in windows, and why it does not cut texts, if so.

    Raises: UnsupportedModel.
    """
    from export.cut_texts import why_uncut
    from export.long_texts import windows_hold

    added = sorted(token.content for token in tokenizer.get_added_tokens_decoder().values())
    uncut = "--segments-mib 0"
    with told(UnsupportedModel, "tokenizer.json: it cannot read a long text"):
        windows = windows_hold(tokenizer_json, spec.max_length, added)
        if serving.segments_mib:
            uncut = why_uncut(tokenizer_json, spec.max_length, added)
    if not windows:
        report("This tokenizer reads long texts whole: in windows their tokens would be others")
    if uncut:
        report(f"This tokenizer reads every text as a whole: {uncut}")
    return windows, uncut


def notes(spec: ModelSpec) -> Iterator[str]:
    """What a person should know of a model before its vectors are used, a line each."""
    yield (
        f"It is a {spec.architecture} model: {spec.pooling} pooling, {spec.dimensions} dimensions, "
        f"{spec.max_length} tokens of a text"
    )
    if spec.stated_length:
        yield (
            f"The checkpoint states {spec.stated_length} tokens of a text, and its positions reach "
            f"{spec.max_length}"
        )
    if not spec.weights.endswith(".safetensors"):
        yield f"Its weights come from {spec.weights}, of which nothing but tensors is read"
    if spec.default_prompt_name:
        text = shorten(repr(dict(spec.prompts)[spec.default_prompt_name]))
        yield f"Texts that are sent without a prompt get its default one, {text}"
    if spec.similarity == "dot" and not spec.normalized:
        yield "It is meant for the dot product: calls need normalized: false, or ranks are others"


def _request(options: ExportOptions, checkpoint: Checkpoint) -> dict[str, Any]:
    """All that the result depends on, as JSON would give it back."""
    asked = {
        "checkpoint": options.checkpoint,
        "revision": checkpoint.revision,
        "pooling": options.pooling,
        "max_length": options.max_length,
        "ignored": options.ignored,
        "serving": asdict(options.serving),
        "exporter": exporter_digest(),
        "versions": library_versions(),
    }
    request: dict[str, Any] = json.loads(json.dumps(asked))
    return request


def _command(options: ExportOptions) -> str:
    """The command that makes and verifies the same export again."""
    serving = options.serving
    words = ["python", "-m", "export", options.checkpoint, "--served-name", serving.served_name]
    words += ["--revision", options.revision] if options.revision else []
    words += ["--pooling", options.pooling] if options.pooling else []
    words += ["--max-length", str(options.max_length)] if options.max_length else []
    words += [word for key in options.ignored for word in ("--ignore", key)]
    words += [word for alias in serving.aliases for word in ("--alias", alias)]
    words += ["--matryoshka"] if serving.matryoshka else []
    words += ["--target", serving.target] if serving.is_on_gpu else []
    words += ["--precision", serving.precision] if serving.precision else []
    return shlex.join([*words, "--force", "--output", str(options.output)])
