"""config.pbtxt as committed, as rendered, and as both sides of Triton name the tensors."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from export import repository
from export.checkpoint import ModelSpec
from export.errors import UnsupportedModel
from export.repository import (
    MAX_PROMPTS_CHARACTERS,
    SIMILARITIES,
    encoder_config,
    ensemble_config,
    quantize_config,
    render,
    tokenizer_config,
)
from export.serving import Serving
from export.steps.quantization import FORMATS, read_formats
from gateway.inference import tensors
from gateway.inference.catalogue import ServedModel, describe
from gateway.inference.messages import read_config
from gateway.inference.prompts import Prompts

ROOT = Path(__file__).parents[2] / "model_repository"
REFERENCE = ROOT / "reference"
SPEC = ModelSpec(architecture="bert", dimensions=384, max_length=256, pooling="mean")
SERVING = Serving(served_name="sentence-transformers/all-MiniLM-L6-v2")


def rendered(serving: Serving) -> dict[str, triton.ModelConfig]:
    return {
        "ensemble": ensemble_config(SPEC, serving, revision="0" * 64, edition="0123456789ab"),
        "tokenizer": tokenizer_config(SPEC, serving, windows=True),
        "encoder": encoder_config(SPEC, serving),
        "quantize": quantize_config(SPEC, serving),
    }


CONFIGS = rendered(SERVING)
TARGETS = {
    "cpu": CONFIGS,
    "cuda": rendered(Serving(SERVING.served_name, target="cuda").settled("fp16", 10_616_832)),
}


@pytest.mark.parametrize("step", CONFIGS)
@pytest.mark.parametrize("target", TARGETS)
def test_the_committed_reference_is_what_the_exporter_renders(target: str, step: str) -> None:
    """To renew it: python -m tests.model_repository.test_configs."""
    config = TARGETS[target][step]
    committed = (REFERENCE / target / step / "config.pbtxt").read_text(encoding="utf-8")

    assert config == text_format.Parse(committed, triton.ModelConfig())
    assert render(config).decode() == committed


def test_the_encoder_is_as_the_operator_asked() -> None:
    serving = Serving("a", threads=2, instances=3, spinning=False, micro_batch_tokens=64)
    config = encoder_config(SPEC, serving)

    assert config.instance_group[0].count == 3
    chosen = {key: config.parameters[key].string_value for key in config.parameters}
    assert chosen | {"threads": "2", "spinning": "false", "micro_batch_tokens": "64"} == chosen


def test_beside_a_gpu_only_the_encoder_is_on_it() -> None:
    serving = Serving("a", target="cuda", precision="fp16", micro_batch_tokens=1, gpus=(2, 0))
    configs = rendered(replace(serving, instances=2, tokenizers=5, quantizers=3))

    groups = {step: configs[step].instance_group[0] for step in ("tokenizer", "quantize")}
    assert {"tokenizer": 5, "quantize": 3} == {step: groups[step].count for step in groups}
    assert {triton.ModelInstanceGroup.KIND_CPU} == {group.kind for group in groups.values()}
    (group,) = configs["encoder"].instance_group
    assert triton.ModelInstanceGroup.KIND_GPU == group.kind
    assert (2, [2, 0]) == (group.count, list(group.gpus))


def test_tensorrt_is_told_of_shapes() -> None:
    serving = Serving("a", target="tensorrt").settled("fp16", product_weights=1)
    parameters = encoder_config(SPEC, serving, {"INPUT_IDS": ["T"]}).parameters
    told = {key: parameters[key].string_value for key in ("inputs", "max_length", "target")}
    assert {"inputs": '{"INPUT_IDS": ["T"]}', "max_length": "256", "target": "tensorrt"} == told


def test_without_a_list_the_encoder_is_on_every_gpu() -> None:
    (group,) = TARGETS["cuda"]["encoder"].instance_group
    assert (1, []) == (group.count, list(group.gpus))


@pytest.mark.parametrize("step", ["tokenizer", "encoder", "quantize"])
def test_a_step_reads_and_answers_the_tensors_of_its_configuration(step: str) -> None:
    source = (ROOT / step / "1" / "model.py").read_text(encoding="utf-8")
    config = CONFIGS[step]
    inputs = {tensor.name for tensor in config.input}
    outputs = {tensor.name for tensor in config.output}

    named = set(re.findall(r'"([A-Z][A-Z0-9_]+)"', source))

    assert inputs <= named
    assert named <= inputs | outputs
    assert step == "quantize" or outputs <= named  # that one answers what it is asked


def test_the_gateway_expects_the_ensemble_that_is_exported() -> None:
    ensemble = CONFIGS["ensemble"]

    assert set(tensors.INPUTS) == {declared(tensor) for tensor in ensemble.input}
    assert set(tensors.OUTPUTS) == {declared(tensor) for tensor in ensemble.output}


def test_everybody_means_the_same_formats() -> None:
    """The bits as the quantize step reads them, as the gateway sends them, as they are written."""
    names = {tensors.EMBEDDINGS[one].name: code for one, code in tensors.FORMAT_CODES.items()}
    assert names == {
        name: code for name in FORMATS for code in names.values() if read_formats(code) == (name,)
    }
    assert list(names) == list(repository.FORMATS)
    written = ", ".join(f"`{name}` {code}" for name, code in names.items())
    assert written in (ROOT / "README.md").read_text(encoding="utf-8")


def test_only_formats_may_be_left_out() -> None:
    """Who asks an ensemble without it gets what he got before there was such a tensor."""
    for step, config in CONFIGS.items():
        optional = {tensor.name for tensor in config.input if tensor.optional}
        assert optional == ({"FORMATS"} if step in ("ensemble", "quantize") else set())


PROMPTS = (("b", 'say: "bread"\n'), ("a", "\u67e5\u8be2\uff1a"), ("none", ""))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (SPEC, (Prompts(), None)),
        (replace(SPEC, prompts=PROMPTS), (Prompts(dict(PROMPTS)), None)),
        (
            replace(SPEC, prompts=PROMPTS, default_prompt_name="a", similarity="dot"),
            (Prompts(dict(PROMPTS), "a"), "dot"),
        ),
    ],
    ids=["none", "no-default", "all"],
)
def test_the_gateway_reads_the_prompts_that_are_exported(
    spec: ModelSpec, expected: tuple[Prompts, str | None]
) -> None:
    model = served(spec)
    assert expected == (model.prompts, model.similarity)
    assert [name for name, _ in spec.prompts] == list(model.prompts.texts)


def served(spec: ModelSpec) -> ServedModel:
    """What the gateway makes of an exported ensemble."""
    written = render(ensemble_config(spec, SERVING, revision="", edition="0123456789ab"))
    return describe(read_config(text_format.Parse(written, triton.ModelConfig())), created=0)


def test_the_gateway_takes_every_similarity_and_as_many_prompts_as_an_export() -> None:
    for similarity in SIMILARITIES:
        assert similarity == served(replace(SPEC, similarity=similarity)).similarity
    full = "x" * (MAX_PROMPTS_CHARACTERS - len('{"a": ""}'))
    assert full == served(replace(SPEC, prompts=(("a", full),))).prompts.texts["a"]
    with pytest.raises(UnsupportedModel, match="65537 characters"):
        served(replace(SPEC, prompts=(("a", f"{full}x"),)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"default_prompt_name": "q"}, "default_prompt_name 'q' names no prompt"),
        ({"default_prompt_name": "", "prompts": (("", "x"),)}, "'' names no prompt"),
        ({"prompts": (("q", "\ud83d"),)}, "half of a surrogate pair"),
        ({"prompts": (("\ude00", "x"),)}, "half of a surrogate pair"),
        ({"similarity": "maxsim"}, "similarity_fn_name 'maxsim' is not served"),
    ],
)
def test_what_a_gateway_would_not_take_is_not_exported(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UnsupportedModel, match=f"config_sentence_transformers.json: .*{message}"):
        ensemble_config(replace(SPEC, **changes), SERVING, revision="", edition="0123456789ab")


def declared(tensor: Any) -> tensors.Tensor:
    datatype = triton.DataType.Name(tensor.data_type).removeprefix("TYPE_")
    return tensors.Tensor(tensor.name, datatype.replace("STRING", "BYTES"), tuple(tensor.dims))


def test_nothing_on_the_encoder_stops_triton_from_prefetching() -> None:
    """Priorities or a queue policy let the batcher sleep with idle cores, without a log line."""
    batching = CONFIGS["encoder"].dynamic_batching

    assert triton.ModelDynamicBatching(max_queue_delay_microseconds=0) == batching


def write_reference() -> None:
    for target, configs in TARGETS.items():
        for step, config in configs.items():
            (REFERENCE / target / step).mkdir(parents=True, exist_ok=True)
            (REFERENCE / target / step / "config.pbtxt").write_bytes(render(config))


if __name__ == "__main__":
    write_reference()
