"""The files of one model as Triton reads them.

    <output>/<folder>/{config.pbtxt, manifest.json, <version>/}              the ensemble
    <output>/<folder>@<edition>-tokenizer/{config.pbtxt, 1/model.py, …}
    <output>/<folder>@<edition>-encoder/{config.pbtxt, 1/model.py, 1/model.onnx, …}
    <output>/<folder>@<edition>-quantize/{config.pbtxt, 1/model.py, …}

An edition is the content of the three steps, named by the first digits of its digest: what is
served under one name of steps never changes, and the ensemble is all that a new edition replaces.
Configurations are protobuf messages; the table of tensors is model_repository/README.md.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from export.checkpoint import ModelSpec
from export.errors import UnsupportedModel
from export.names import step_folder, version_of
from export.serving import Serving
from export.steps.integrity import LISTING, edition_of, file_sha256
from export.writing import write_file

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
# Step → modules and packages of export/steps/ that its model.py imports from beside itself.
STEPS = {
    "tokenizer": ("integrity", "tokenization", "turns"),
    "encoder": ("batching", "inference", "integrity", "memory"),
    "quantize": ("integrity", "quantization"),
}
# Where sentence-transformers keeps prompts and similarity; what of them a gateway takes.
PROMPTS_FILE = "config_sentence_transformers.json"
MAX_PROMPTS_CHARACTERS = 65_536
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


def version_folder(staged: Path, step: str) -> Path:
    """Where the files of a step are staged, made if need be."""
    folder = staged / step / "1"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_step_configs(
    staged: Path, spec: ModelSpec, serving: Serving, windows: bool, why_uncut: str = ""
) -> None:
    """Write the config.pbtxt of the three steps; their folders give them their names.

    windows    whether the tokenizer reads long texts in windows
    why_uncut  why it does not cut texts into segments; nothing if it does
    """
    model_onnx = version_folder(staged, "encoder") / "model.onnx"
    inputs = graph_inputs(model_onnx) if serving.target == "tensorrt" else {}
    configs = {
        "tokenizer": tokenizer_config(spec, serving, windows, why_uncut),
        "encoder": encoder_config(spec, serving, inputs),
        "quantize": quantize_config(spec, serving),
    }
    for step, config in configs.items():
        write_file(staged / step / "config.pbtxt", render(config))


def seal(staged: Path) -> str:
    """Give the staged steps a list of all their files; returns the edition, that list's digest.

    Every step carries the same list, so that each can check the whole.
    """
    paths = sorted(path for step in STEPS for path in (staged / step).rglob("*") if path.is_file())
    digests = {path.relative_to(staged).as_posix(): file_sha256(path) for path in paths}
    listing = f"{json.dumps(digests, indent=2, sort_keys=True)}\n".encode()
    for step in STEPS:
        write_file(version_folder(staged, step) / LISTING, listing)
    return edition_of(listing)


def assemble(
    staged: Path, spec: ModelSpec, serving: Serving, revision: str, edition: str
) -> tuple[str, ...]:
    """Name the staged steps by their edition, and write the ensemble that names them.

    returns  the four folders of the model, the ensemble's first
    """
    folders = {step: step_folder(serving.name, edition, step) for step in STEPS}
    for step, folder in folders.items():
        (staged / step).rename(staged / folder)
    version = staged / serving.name / str(version_of(edition))
    version.mkdir(parents=True)
    (version / ".keep").touch()  # an ensemble needs a version, empty as it is
    config = ensemble_config(spec, serving, revision, edition)
    write_file(staged / serving.name / "config.pbtxt", render(config))
    return serving.name, *folders.values()


def render(config: triton.ModelConfig) -> bytes:
    """A configuration as config.pbtxt, parameters sorted."""
    return text_format.MessageToString(config).encode()


def ensemble_config(
    spec: ModelSpec, serving: Serving, revision: str, edition: str
) -> triton.ModelConfig:
    """The ensemble, the only model a client calls."""
    name = serving.name
    tokenizer, encoder, quantize = (step_folder(name, edition, step) for step in STEPS)
    steps = triton.ModelEnsembling(
        step=[
            _step(tokenizer, ("TEXT", "TRUNCATION"), ("INPUT_IDS", "SEQ_LENS")),
            _step(encoder, ("INPUT_IDS", "SEQ_LENS"), ("EMBEDDING",)),
            _step(
                quantize,
                ("EMBEDDING", "DIMENSIONS", "NORMALIZED", "FORMATS"),
                (*FORMATS, "WIDTH"),
            ),
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
            _wanted_formats(),
        ],
        output=[*_quantize_outputs(), _output("TOKEN_COUNT", triton.TYPE_INT32, -1)],
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
        prompts=_prompts(spec),
        default_prompt_name=spec.default_prompt_name or "",
        similarity=_similarity(spec),
        micro_batch_tokens=str(serving.settled_tokens),
    )
    return config


def _prompts(spec: ModelSpec) -> str:
    """The prompts as JSON, in their order.

    Raises: UnsupportedModel if a gateway would not take them.
    """
    prompts = dict(spec.prompts)
    text = json.dumps(prompts, ensure_ascii=False)
    if len(text) > MAX_PROMPTS_CHARACTERS:
        raise UnsupportedModel(
            f"{PROMPTS_FILE}: prompts have {len(text)} characters as JSON, "
            f"at most {MAX_PROMPTS_CHARACTERS} are served"
        )
    if re.search("[\ud800-\udfff]", text):
        raise UnsupportedModel(f"{PROMPTS_FILE}: prompts hold half of a surrogate pair")
    default = spec.default_prompt_name
    if default is not None and (not default or default not in prompts):
        raise UnsupportedModel(f"{PROMPTS_FILE}: default_prompt_name {default!r} names no prompt")
    return text


def _similarity(spec: ModelSpec) -> str:
    if spec.similarity is None:
        return ""
    if spec.similarity not in SIMILARITIES:
        raise UnsupportedModel(
            f"{PROMPTS_FILE}: similarity_fn_name {spec.similarity!r} is not served, "
            f"only {', '.join(SIMILARITIES)}"
        )
    return spec.similarity


def tokenizer_config(
    spec: ModelSpec, serving: Serving, windows: bool, why_uncut: str = ""
) -> triton.ModelConfig:
    """TEXT, TRUNCATION → INPUT_IDS, SEQ_LENS."""
    config = _python_step(serving.tokenizers)
    config.input.extend(
        [_input("TEXT", triton.TYPE_STRING), _input("TRUNCATION", triton.TYPE_INT32, 1)]
    )
    config.output.extend(
        [_output("INPUT_IDS", triton.TYPE_INT64, -1), _output("SEQ_LENS", triton.TYPE_INT32, -1)]
    )
    _set_parameters(
        config,
        max_length=str(spec.max_length),
        windows=str(windows).lower(),
        segments_mib=str(0 if why_uncut else serving.segments_mib),
    )
    if why_uncut:
        _set_parameters(config, why_no_segments=why_uncut)
    return config


def graph_inputs(model_onnx: Path) -> dict[str, list[str]]:
    """The sizes of each input of a graph: numbers, or symbols such as T."""
    import onnx  # the extra `export`, which nothing else here needs

    graph = onnx.load(model_onnx, load_external_data=False).graph
    return {
        value.name: [
            size.dim_param or str(size.dim_value) for size in value.type.tensor_type.shape.dim
        ]
        for value in graph.input
    }


def encoder_config(
    spec: ModelSpec, serving: Serving, inputs: Mapping[str, Sequence[str]] | None = None
) -> triton.ModelConfig:
    """INPUT_IDS, SEQ_LENS → EMBEDDING, ragged and dynamically batched.

    inputs  of the graph, with the sizes of each: what TensorRT is told of its shapes

    Neither priorities nor a queue policy: either makes Triton's batcher sleep up to 500 ms
    between the batches of a client that waits for its answers.
    """
    config = _python_step(serving.instances)
    if serving.is_on_gpu:
        group = config.instance_group[0]
        group.kind = triton.ModelInstanceGroup.KIND_GPU
        group.gpus.extend(serving.gpus)  # none: Triton takes all that it sees
    config.max_batch_size = MAX_BATCH_REQUESTS
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
        target=serving.target,
        precision=serving.settled_precision,
        micro_batch_tokens=str(serving.settled_tokens),
        memory_mib=str(serving.memory_mib),
    )
    if serving.target == "tensorrt":
        _set_parameters(config, inputs=json.dumps(inputs), max_length=str(spec.max_length))
    if not serving.is_on_gpu:
        spinning = str(serving.spinning).lower()
        _set_parameters(config, threads=str(serving.threads), spinning=spinning)
    return config


def quantize_config(spec: ModelSpec, serving: Serving) -> triton.ModelConfig:
    """EMBEDDING, DIMENSIONS, NORMALIZED, FORMATS → the six formats, WIDTH."""
    config = _python_step(serving.quantizers)
    config.input.extend(
        [
            _input("EMBEDDING", triton.TYPE_FP32, -1, spec.dimensions),
            _input("DIMENSIONS", triton.TYPE_INT32, 1),
            _input("NORMALIZED", triton.TYPE_BOOL, 1),
            _wanted_formats(),
        ]
    )
    config.output.extend(_quantize_outputs())
    _set_parameters(config, matryoshka=str(serving.matryoshka).lower())
    return config


def _python_step(instances: int | None) -> triton.ModelConfig:
    """Without a name: an edition is named by its content, so the content cannot hold the name."""
    group = triton.ModelInstanceGroup(kind=triton.ModelInstanceGroup.KIND_CPU, count=instances)
    return triton.ModelConfig(backend="python", instance_group=[group])


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


def _wanted_formats() -> triton.ModelInput:
    """FORMATS, which whoever does not know it leaves out."""
    return triton.ModelInput(name="FORMATS", data_type=triton.TYPE_INT32, dims=[1], optional=True)


def _output(name: str, data_type: int, *dims: int) -> triton.ModelOutput:
    return triton.ModelOutput(name=name, data_type=data_type, dims=dims)


def _quantize_outputs() -> list[triton.ModelOutput]:
    formats = [_output(name, data_type, -1, -1) for name, data_type in FORMATS.items()]
    return [*formats, _output("WIDTH", triton.TYPE_INT32, 1)]


def _set_parameters(config: triton.ModelConfig, **parameters: str) -> None:
    for key, value in parameters.items():
        config.parameters[key].string_value = value


def write_steps(staged: Path) -> None:
    """Copy the hand-written steps and the modules they import, by name and byte for byte."""
    skeleton, modules = files("export.model_repository"), files("export.steps")
    for step, imported in STEPS.items():
        folder = version_folder(staged, step)
        write_file(folder / "model.py", skeleton.joinpath(step, "1", "model.py").read_bytes())
        for path, source in _sources(modules, imported):
            (folder / path).parent.mkdir(exist_ok=True)
            write_file(folder / path, source.read_bytes())


def _sources(modules: Traversable, names: Iterable[str]) -> Iterator[tuple[str, Traversable]]:
    """The files of modules and packages, by their paths."""
    for name in names:
        package = modules.joinpath(name)
        if package.is_dir():
            sources = [source for source in package.iterdir() if source.name.endswith(".py")]
            yield from ((f"{name}/{source.name}", source) for source in sources)
        else:
            yield f"{name}.py", modules.joinpath(f"{name}.py")
