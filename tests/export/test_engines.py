"""Which models engines are built for, and why none can be built on a machine without a GPU."""

import json
from pathlib import Path

import onnx
import pytest

from export import ExportOptions, export_model
from export.__main__ import main
from export.engines import find_encoders
from export.repository import encoder_config, render
from export.serving import Serving, Target
from export.steps.inference.profiles import Profile
from tests.checkpoints import make_checkpoint
from tests.export.exports import SPEC


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Encoders of three targets, of which nothing but the configuration is there."""
    targets: dict[str, Target] = {"org/a": "cpu", "org/b": "cuda", "org/c": "tensorrt"}
    for name, target in {**targets, "org/d-e": "tensorrt"}.items():
        serving = Serving(name, target=target).settled("fp32", product_weights=1)
        folder = tmp_path / f"{serving.name}@0123456789ab-encoder"
        folder.mkdir()
        config = encoder_config(SPEC, serving, {"INPUT_IDS": ["T"], "MEAN": ["N", "1", "S"]})
        (folder / "config.pbtxt").write_bytes(render(config))
    return tmp_path


def test_only_models_for_tensorrt_have_engines(repository: Path) -> None:
    found = {folder.name: settings for folder, settings in find_encoders(repository)}
    assert ["org--c@0123456789ab-encoder", "org--d-e@0123456789ab-encoder"] == list(found)
    settings = found["org--c@0123456789ab-encoder"]
    assert '{"INPUT_IDS": ["T"], "MEAN": ["N", "1", "S"]}' == settings["inputs"]
    assert ("256", "16384") == (settings["max_length"], settings["micro_batch_tokens"])


def test_one_of_them_is_found_by_its_name(repository: Path) -> None:
    assert ["org--c"] == [f.name.partition("@")[0] for f, _ in find_encoders(repository, "org/c")]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "holds no model that was exported for tensorrt"),
        (["--served-name", "org/m"], "holds no model named org/m that was exported for tensorrt"),
    ],
)
def test_without_a_model_nothing_is_built(
    tmp_path: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(["build-engines", str(tmp_path), *arguments])
    assert f"export: {tmp_path} {told}\n" == capsys.readouterr().err


def test_a_model_that_is_not_whole_is_not_built(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 5 == main(["build-engines", str(repository)])
    error = capsys.readouterr().err
    assert "org--c@0123456789ab-encoder/1/digests.json is missing: export the model again" in error


@pytest.mark.slow
def test_an_export_for_tensorrt_tells_all_shapes_and_masks_its_texts(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint", "bert")
    options = ExportOptions(
        output=tmp_path / "models",
        checkpoint=str(checkpoint),
        serving=Serving("tiny", target="tensorrt"),
    )
    export_model(options, report=lambda line: None)
    ((folder, settings),) = find_encoders(tmp_path / "models")
    inputs = json.loads(settings["inputs"])
    graph = onnx.load(folder / "1" / "model.onnx", load_external_data=False).graph
    assert [value.name for value in graph.input] == list(inputs)
    assert Profile.of(4096, 64).options(inputs)
    attentions = [node for node in graph.node if node.op_type == "Attention"]
    assert attentions
    assert all(node.input[3] for node in attentions)
    assert "LENGTHS" not in {name for node in attentions for name in node.input}
