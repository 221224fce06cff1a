"""The files of one model as Triton reads them, staged aside and published by one rename.

    <output>/<name>/{config.pbtxt, manifest.json, 1/}              the ensemble
    <output>/<name>-tokenizer/{config.pbtxt, 1/model.py, …}
    <output>/<name>-encoder/{config.pbtxt, 1/model.py, 1/model.onnx, …}
    <output>/<name>-quantize/{config.pbtxt, 1/model.py, …}

Configurations are protobuf messages; the table of tensors is model_repository/README.md.
"""

import ctypes
import errno
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from export.checkpoint import ModelSpec
from export.errors import RepositoryConflict
from export.steps.integrity import file_sha256

MAX_BATCH_REQUESTS = 64  # requests of one dynamic batch; tokens are bounded by the gateway's chunks
FORMATS = {
    "FLOAT": triton.TYPE_FP32,
    "FLOAT16": triton.TYPE_FP16,
    "INT8": triton.TYPE_INT8,
    "UINT8": triton.TYPE_UINT8,
    "BINARY": triton.TYPE_INT8,
    "UBINARY": triton.TYPE_UINT8,
}
ENSEMBLE_NAMES = {"SEQ_LENS": "TOKEN_COUNT"}  # the lengths are also an answer
# Step → modules of export/steps/ that its model.py imports from beside itself.
STEPS = {
    "tokenizer": ("integrity", "tokenization"),
    "encoder": ("batching", "inference", "integrity", "memory"),
    "quantize": ("quantization",),
}


Precision = Literal["fp32", "int8"]  # of the encoder's weights


@dataclass(frozen=True, slots=True)
class Serving:
    """How one model is served: what the operator chose, beside what the checkpoint says."""

    served_name: str
    aliases: tuple[str, ...] = ()
    matryoshka: bool = False
    precision: Precision = "fp32"
    micro_batch_tokens: int = 128  # docs/decisions/0013
    memory_mib: int = 0  # working memory of micro-batches; 0: 512 a thread, docs/decisions/0015
    threads: int = 0  # 0: every core the encoder's process may use
    instances: int = 1  # of the encoder, each with sessions and threads of its own
    spinning: bool = True  # of threads while they wait within a run; docs/decisions/0013

    @property
    def name(self) -> str:
        """Triton's name of the ensemble: no slash, since it is a folder."""
        return self.served_name.replace("/", "--")


def check_name(served_name: str) -> None:
    """Raises: RepositoryConflict if a served name cannot be a folder's name."""
    if not re.fullmatch(r"[\w.][\w.-]*(/[\w.][\w.-]*)*", served_name):
        raise RepositoryConflict(
            f"--served-name {served_name!r}: use letters, digits, '.', '_', '-' and '/'"
        )


def step_folder(repository: Path, name: str, step: str) -> Path:
    """The version folder of a step, made if need be."""
    folder = repository / f"{name}-{step}" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_configs(staged: Path, spec: ModelSpec, serving: Serving, revision: str) -> None:
    """Write the four config.pbtxt, after the large files: the steps check those by digest."""
    name = serving.name
    configs = [
        ensemble_config(spec, serving, revision),
        tokenizer_config(name, spec, _digests(staged, name, "tokenizer")),
        encoder_config(name, spec, serving, _digests(staged, name, "encoder")),
        quantize_config(name, spec),
    ]
    (staged / name / "1").mkdir(parents=True)
    (staged / name / "1" / ".keep").touch()  # an ensemble needs a version, empty as it is
    for config in configs:
        (staged / config.name / "config.pbtxt").write_text(render(config), encoding="utf-8")


def _digests(staged: Path, name: str, step: str) -> dict[str, str]:
    """File → SHA-256 of what a step loads and did not write by hand."""
    paths = sorted(step_folder(staged, name, step).iterdir())
    return {path.name: file_sha256(path) for path in paths if path.suffix != ".py"}


def render(config: triton.ModelConfig) -> str:
    """A configuration as config.pbtxt, parameters sorted."""
    return text_format.MessageToString(config)


def ensemble_config(spec: ModelSpec, serving: Serving, revision: str) -> triton.ModelConfig:
    """The ensemble, the only model a client calls."""
    name = serving.name
    steps = triton.ModelEnsembling(
        step=[
            _step(f"{name}-tokenizer", ("TEXT", "TRUNCATION"), ("INPUT_IDS", "SEQ_LENS")),
            _step(f"{name}-encoder", ("INPUT_IDS", "SEQ_LENS"), ("EMBEDDING",)),
            _step(f"{name}-quantize", ("EMBEDDING", "DIMENSIONS", "NORMALIZED"), FORMATS),
        ]
    )
    config = triton.ModelConfig(
        name=name,
        platform="ensemble",
        max_batch_size=0,
        input=[
            _input("TEXT", triton.TYPE_STRING),
            _input("TRUNCATION", triton.TYPE_INT32, 1),
            _input("DIMENSIONS", triton.TYPE_INT32, 1),
            _input("NORMALIZED", triton.TYPE_BOOL, 1),
        ],
        output=[*_format_outputs(), _output("TOKEN_COUNT", triton.TYPE_INT32, -1)],
        ensemble_scheduling=steps,
    )
    _set_parameters(
        config,
        served_name=serving.served_name,
        aliases=json.dumps(serving.aliases),
        dimensions=str(spec.dimensions),
        max_length=str(spec.max_length),
        matryoshka=str(serving.matryoshka).lower(),
        revision=revision,
    )
    return config


def tokenizer_config(name: str, spec: ModelSpec, digests: dict[str, str]) -> triton.ModelConfig:
    """TEXT, TRUNCATION → INPUT_IDS, SEQ_LENS."""
    config = _python_step(f"{name}-tokenizer")
    config.input.extend(
        [_input("TEXT", triton.TYPE_STRING), _input("TRUNCATION", triton.TYPE_INT32, 1)]
    )
    config.output.extend(
        [_output("INPUT_IDS", triton.TYPE_INT64, -1), _output("SEQ_LENS", triton.TYPE_INT32, -1)]
    )
    _set_parameters(config, max_length=str(spec.max_length), sha256=json.dumps(digests))
    return config


def encoder_config(
    name: str, spec: ModelSpec, serving: Serving, digests: dict[str, str]
) -> triton.ModelConfig:
    """INPUT_IDS, SEQ_LENS → EMBEDDING, ragged and dynamically batched.

    Neither priorities nor a queue policy: either makes Triton's batcher sleep up to 500 ms
    between the batches of a client that waits for its answers.
    """
    config = _python_step(f"{name}-encoder")
    config.max_batch_size = MAX_BATCH_REQUESTS
    config.instance_group[0].count = serving.instances
    config.input.extend(
        [
            _input("INPUT_IDS", triton.TYPE_INT64, ragged=True),
            _input("SEQ_LENS", triton.TYPE_INT32, ragged=True),
        ]
    )
    config.output.append(_output("EMBEDDING", triton.TYPE_FP32, -1, spec.dimensions))
    config.batch_output.append(
        triton.BatchOutput(
            target_name=["EMBEDDING"],
            kind=triton.BatchOutput.BATCH_SCATTER_WITH_INPUT_SHAPE,
            source_input=["SEQ_LENS"],
        )
    )
    config.dynamic_batching.max_queue_delay_microseconds = 0
    _set_parameters(
        config,
        micro_batch_tokens=str(serving.micro_batch_tokens),
        memory_mib=str(serving.memory_mib),
        threads=str(serving.threads),
        spinning=str(serving.spinning).lower(),
        precision=serving.precision,
        sha256=json.dumps(digests),
    )
    return config


def quantize_config(name: str, spec: ModelSpec) -> triton.ModelConfig:
    """EMBEDDING, DIMENSIONS, NORMALIZED → the six formats."""
    config = _python_step(f"{name}-quantize")
    config.input.extend(
        [
            _input("EMBEDDING", triton.TYPE_FP32, -1, spec.dimensions),
            _input("DIMENSIONS", triton.TYPE_INT32, 1),
            _input("NORMALIZED", triton.TYPE_BOOL, 1),
        ]
    )
    config.output.extend(_format_outputs())
    return config


def _python_step(name: str) -> triton.ModelConfig:
    group = triton.ModelInstanceGroup(kind=triton.ModelInstanceGroup.KIND_CPU, count=1)
    return triton.ModelConfig(name=name, backend="python", instance_group=[group])


def _step(model: str, inputs: Iterable[str], outputs: Iterable[str]) -> triton.ModelEnsembling.Step:
    """A step whose tensors carry the same names in the ensemble, but for the lengths."""
    return triton.ModelEnsembling.Step(
        model_name=model,
        model_version=-1,
        input_map={name: ENSEMBLE_NAMES.get(name, name) for name in inputs},
        output_map={name: ENSEMBLE_NAMES.get(name, name) for name in outputs},
    )


def _input(name: str, data_type: int, *dims: int, ragged: bool = False) -> triton.ModelInput:
    return triton.ModelInput(
        name=name, data_type=data_type, dims=dims or [-1], allow_ragged_batch=ragged
    )


def _output(name: str, data_type: int, *dims: int) -> triton.ModelOutput:
    return triton.ModelOutput(name=name, data_type=data_type, dims=dims)


def _format_outputs() -> list[triton.ModelOutput]:
    return [_output(name, data_type, -1, -1) for name, data_type in FORMATS.items()]


def _set_parameters(config: triton.ModelConfig, **parameters: str) -> None:
    for key, value in parameters.items():
        config.parameters[key].string_value = value


def write_steps(staged: Path, name: str) -> None:
    """Copy the hand-written steps and the modules they import, by name and byte for byte."""
    skeleton, modules = files("export.model_repository"), files("export.steps")
    for step, imported in STEPS.items():
        folder = step_folder(staged, name, step)
        (folder / "model.py").write_bytes(skeleton.joinpath(step, "1", "model.py").read_bytes())
        for module in imported:
            (folder / f"{module}.py").write_bytes(modules.joinpath(f"{module}.py").read_bytes())


def folders_of(name: str) -> tuple[str, ...]:
    """The four folders of one model."""
    return (name, *(f"{name}-{step}" for step in STEPS))


@contextmanager
def staging(output: Path, name: str) -> Iterator[Path]:
    """A folder beside the output that becomes the output when the block ends without an error.

    It begins with the output's other models, as hard links. Interrupted anywhere, the output
    is what it was; the next export removes the leftover.
    """
    output = output.absolute()
    staged = output.with_name(f"{output.name}.staging")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        _link_others(output, staged, name)
        yield staged
        _publish(staged, output)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _link_others(output: Path, staged: Path, name: str) -> None:
    if not output.exists():
        return
    for folder in output.iterdir():
        if folder.name not in folders_of(name):
            shutil.copytree(folder, staged / folder.name, copy_function=os.link)


def _publish(staged: Path, output: Path) -> None:
    """Make the staged folder the output; the old output, if any, takes its place."""
    if not output.exists():
        staged.rename(output)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    at_fdcwd, exchange = -100, 2  # linux/fcntl.h, linux/fs.h
    if libc.renameat2(at_fdcwd, bytes(staged), at_fdcwd, bytes(output), exchange):
        code = ctypes.get_errno()
        raise RepositoryConflict(
            f"{output} cannot be replaced by one rename ({errno.errorcode[code]}): "
            "choose an output that is no mount point, on a local file system"
        )
