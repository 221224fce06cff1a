"""Whole exports of tiny random checkpoints: right vectors, or nothing."""

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from export import ExportOptions, ExportResult, Serving, export_model
from export.__main__ import main
from export.errors import ExportError, RepositoryConflict, UnsupportedModel, VerificationFailed
from export.graph import packed, rendering
from export.graph.blocks import BLOCK
from export.graph.inputs import op
from export.manifest import hash_files
from export.sample import LONG_TOKENS
from export.verification import MIN_COSINE
from tests.checkpoints import ARCHITECTURES, make_checkpoint
from tests.export.races import race

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("bert"), "bert")


@pytest.fixture(scope="session")
def bert_cls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("bert-cls"), "bert-cls")


def run(checkpoint: Path, output: Path, name: str = "tiny/bert", **changes: object) -> ExportResult:
    serving = Serving(served_name=name, aliases=(f"alias-of-{Path(name).name}",))
    options = ExportOptions(output=output, checkpoint=str(checkpoint), serving=serving)
    for field, value in changes.items():
        object.__setattr__(options, field, value)
    return export_model(options, report=lambda line: None)


def snapshot(repository: Path) -> dict[str, bytes]:
    return {
        path.relative_to(repository).as_posix(): path.read_bytes()
        for path in repository.rglob("*")
        if path.is_file()
    }


# What `make models` exports besides has a pooling, sizes or a layout of another of them.
ALIKE = {
    *("bert-cls", "roberta-cls", "mpnet-cls", "modernbert-cls", "nomic-bert-cls"),
    *("xlm-roberta-mean", "camembert", "electra", "multilingual-minilm", "contriever", "specter"),
    *("distiluse", "sentence-t5", "stella-400m", "stella-1.5b", "arctic-m-v2", "potion"),
    *("llama", "mistral", "eurobert", "default-prompt", "max", "mean_sqrt"),
}


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES.keys() - ALIKE))
def test_the_served_files_reproduce_sentence_transformers(
    architecture: str, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint", architecture)
    pooling = ARCHITECTURES[architecture].pooling_option

    verification = run(checkpoint, tmp_path / "models", pooling=pooling).manifest.verification

    assert verification["min_cosine"] >= MIN_COSINE["fp32"]
    assert verification["max_composition_difference"] <= 1e-6
    assert verification["longest_text_tokens"] == min(
        ARCHITECTURES[architecture].max_length, LONG_TOKENS
    )


@pytest.mark.parametrize("architecture", ["bert", "gemma2", "jina-v2", "modernbert", "mpnet", "t5"])
def test_long_texts_in_blocks_are_as_exact(architecture: str, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(
        tmp_path / "checkpoint",
        architecture,
        max_length=3 * BLOCK - 1,
        **({} if architecture == "t5" else {"max_position_embeddings": 3 * BLOCK + 2}),
    )

    verification = run(checkpoint, tmp_path / "models").manifest.verification

    assert verification["min_cosine"] >= MIN_COSINE["fp32"]
    assert verification["max_composition_difference"] == 0
    assert verification["longest_text_tokens"] == 3 * BLOCK - 1


def test_the_manifest_says_where_weights_come_from(bert: Path, tmp_path: Path) -> None:
    pickled = make_checkpoint(tmp_path / "pickled", "bge-m3")

    manifests = [run(checkpoint, tmp_path / "models").manifest for checkpoint in (bert, pickled)]

    assert ["model.safetensors", "pytorch_model.bin"] == [found.weights for found in manifests]


def test_the_same_inputs_give_the_same_bytes(bert: Path, tmp_path: Path) -> None:
    run(bert, tmp_path / "models")
    first = snapshot(tmp_path / "models")

    run(bert, tmp_path / "models", force=True)

    assert first == snapshot(tmp_path / "models")


def test_artifacts_hold_no_path_of_this_machine(bert: Path, tmp_path: Path) -> None:
    run(bert, tmp_path / "models")

    held = snapshot(tmp_path / "models")
    del held["tiny--bert/manifest.json"]  # says which folder was asked for

    places = (sys.prefix, str(Path(__file__).parents[2]), str(tmp_path))
    assert [] == [
        name for name, content in held.items() for place in places if place.encode() in content
    ]


def test_a_second_export_changes_nothing(bert: Path, tmp_path: Path) -> None:
    run(bert, tmp_path / "models")
    before = (tmp_path / "models" / "tiny--bert").stat()

    again = run(bert, tmp_path / "models")

    assert not again.fresh
    assert before == (tmp_path / "models" / "tiny--bert").stat()


def test_a_changed_option_exports_again(bert: Path, tmp_path: Path) -> None:
    run(bert, tmp_path / "models")

    assert run(bert, tmp_path / "models", max_length=32).fresh
    config = (tmp_path / "models/tiny--bert/config.pbtxt").read_text()
    assert '"32"' in config


def test_an_export_of_another_exporter_is_made_again(bert: Path, tmp_path: Path) -> None:
    run(bert, tmp_path / "models")
    path = tmp_path / "models/tiny--bert/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["request"]["exporter"] = "an older one"
    path.write_text(json.dumps(manifest))

    assert run(bert, tmp_path / "models").fresh


@pytest.mark.parametrize("file", ["model.onnx", "model.onnx.data"])
def test_a_corrupted_file_is_noticed_and_exported_again(
    bert: Path, tmp_path: Path, file: str
) -> None:
    whole = run(bert, tmp_path / "models").manifest
    (model,) = (tmp_path / "models").glob(f"tiny--bert@*-encoder/1/{file}")
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)

    assert run(bert, tmp_path / "models").fresh
    assert whole.files == hash_files(tmp_path / "models", whole.folders)


def test_a_limit_that_leaves_no_room_for_a_text_is_refused(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="give --max-length, at least 3"):
        run(bert, tmp_path / "models", max_length=2)

    run(bert, tmp_path / "models", max_length=3)


def test_two_checkpoints_share_a_repository(bert: Path, bert_cls: Path, tmp_path: Path) -> None:
    run(bert, tmp_path / "models")
    first = snapshot(tmp_path / "models")

    run(bert_cls, tmp_path / "models", name="tiny/other")

    both = snapshot(tmp_path / "models")
    assert first.items() <= both.items()
    assert "tiny--other/manifest.json" in both


def test_a_name_that_is_taken_is_a_conflict(bert: Path, bert_cls: Path, tmp_path: Path) -> None:
    run(bert, tmp_path / "models")
    before = snapshot(tmp_path / "models")

    with pytest.raises(RepositoryConflict, match="tiny/bert already answers to 'bert'"):
        run(bert_cls, tmp_path / "models", name="x/bert")

    assert before == snapshot(tmp_path / "models")


def test_a_key_that_nobody_reads_is_refused_until_somebody_ignores_it(
    bert: Path, tmp_path: Path
) -> None:
    checkpoint = shutil.copytree(bert, tmp_path / "checkpoint")
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"see_both_ways": True}))

    with pytest.raises(UnsupportedModel, match="give --ignore see_both_ways"):
        run(checkpoint, tmp_path / "models")

    manifest = run(checkpoint, tmp_path / "models", ignored=("see_both_ways",)).manifest
    assert "--ignore see_both_ways" in manifest.check


def test_code_of_the_repository_is_refused_before_anything_is_loaded(
    bert: Path, tmp_path: Path
) -> None:
    checkpoint = shutil.copytree(bert, tmp_path / "checkpoint")
    config = json.loads((checkpoint / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling.Own"}
    (checkpoint / "config.json").write_text(json.dumps(config))
    (checkpoint / "model.safetensors").write_bytes(b"")

    with pytest.raises(UnsupportedModel, match=r"own code, .*modeling\.Own"):
        run(checkpoint, tmp_path / "models")


def test_int8_is_offered_where_there_is_something_to_round(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint", "static")
    serving = Serving(served_name="static", precision="int8")
    options = ExportOptions(output=tmp_path / "m", checkpoint=str(checkpoint), serving=serving)

    with pytest.raises(UnsupportedModel, match="export with --precision fp32"):
        export_model(options, report=lambda line: None)


@pytest.mark.parametrize(
    ("architecture", "line"),
    [
        ("bge-m3", "Its weights come from pytorch_model.bin, of which nothing but tensors is read"),
        ("default-prompt", "Texts that are sent without a prompt get its default one, 'query: '"),
        ("default-prompt", "It is meant for the dot product: calls need normalized: false"),
        ("gte-new", "Its own code, Alibaba-NLP/new-impl--modeling.NewModel, is not run: it is gte"),
        ("bge", "The checkpoint states 1000 tokens of a text, and its positions reach 80"),
        ("static", "It is a static model: mean pooling, 24 dimensions, 32768 tokens of a text"),
    ],
)
def test_an_export_says_what_must_be_known_of_a_model(
    architecture: str, line: str, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint", architecture, max_length=1000)
    options = ExportOptions(
        output=tmp_path / "m", checkpoint=str(checkpoint), serving=Serving(served_name="a")
    )
    lines: list[str] = []

    def stop_at_the_conversion(said: str) -> None:
        lines.append(said)
        if said.startswith("Converting"):
            raise Interrupted

    with pytest.raises(Interrupted):
        export_model(options, report=stop_at_the_conversion)

    assert [said for said in lines if said.startswith(line)]


class Interrupted(BaseException):
    """As Ctrl-C, without pytest taking it for one."""


@pytest.mark.parametrize("step", ["Reading", "Converting", "Verifying"])
def test_an_interrupted_export_leaves_the_old_repository_whole(
    bert: Path, bert_cls: Path, tmp_path: Path, step: str
) -> None:
    run(bert, tmp_path / "models")
    before = snapshot(tmp_path / "models")

    def interrupt(line: str) -> None:
        if line.startswith(step):
            raise Interrupted

    serving = Serving(served_name="tiny/bert")
    options = ExportOptions(
        output=tmp_path / "models", checkpoint=str(bert_cls), serving=serving, force=True
    )
    with pytest.raises(Interrupted):
        export_model(options, report=interrupt)

    assert before == snapshot(tmp_path / "models")
    assert ["models"] == [path.name for path in tmp_path.iterdir()]


def test_a_killed_export_leaves_the_old_repository_whole(
    bert: Path, bert_cls: Path, tmp_path: Path
) -> None:
    run(bert, tmp_path / "models")
    before = snapshot(tmp_path / "models")
    command = [sys.executable, "-m", "export", str(bert_cls), "--served-name", "tiny/bert"]
    with subprocess.Popen(
        [*command, "--output", str(tmp_path / "models")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("Verifying"))
        process.send_signal(signal.SIGKILL)

    assert before == snapshot(tmp_path / "models")
    assert run(bert_cls, tmp_path / "models").fresh
    assert ["models"] == [path.name for path in tmp_path.iterdir()]


def test_a_wrong_graph_is_not_published(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Patched because a graph that is wrong on purpose cannot be made from outside.
    operator: Any = packed.OPERATORS.positions.default
    monkeypatch.setitem(rendering.TRANSLATIONS, operator, render_shifted_positions)

    with pytest.raises(VerificationFailed, match="cosine"):
        run(bert, tmp_path / "models")

    assert not (tmp_path / "models").exists()


def render_shifted_positions(input_ids: Any, seq_lens: Any, padding: int) -> Any:
    return op.Add(rendering.render_positions(input_ids, seq_lens, padding), 1)


def test_the_command_reports_what_was_measured(
    bert: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([str(bert), "--output", str(tmp_path / "m"), "--alias", "a,b", "--matryoshka"])

    manifest = json.loads((tmp_path / "m" / bert.name / "manifest.json").read_text())
    assert 0 == code
    assert f"min_cosine = {manifest['verification']['min_cosine']!r}" in capsys.readouterr().out
    assert ["a", "b"] == manifest["request"]["serving"]["aliases"]


def test_a_refusal_is_one_sentence_and_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()

    code = main([str(checkpoint), "--output", str(tmp_path / "models")])

    assert 3 == code
    assert f"export: config.json: is missing in {checkpoint}\n" == capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_a_tokenizer_that_cannot_be_copied_is_refused(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint", "roberta")
    content = json.loads((checkpoint / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    merged = "".join(content["model"]["merges"][-1])
    vocabulary[merged] = vocabulary["a"]  # only one of the two is written again
    (checkpoint / "tokenizer.json").write_text(json.dumps(content))

    with pytest.raises(
        UnsupportedModel, match=r"tokenizer\.json: a copy of it .* out of vocabulary"
    ):
        run(checkpoint, tmp_path / "models")


def test_numbers_that_overflow_are_refused(bert: Path, tmp_path: Path) -> None:
    checkpoint = Path(shutil.copytree(bert, tmp_path / "checkpoint"))
    weights = load_file(checkpoint / "model.safetensors")
    weights["encoder.layer.1.output.LayerNorm.weight"] *= 1e38
    save_file(weights, checkpoint / "model.safetensors")

    with pytest.raises(VerificationFailed, match="numbers that are not finite, for the text ''"):
        run(checkpoint, tmp_path / "models")


def test_every_error_has_its_own_exit_code() -> None:
    codes = [error.exit_code for error in ExportError.__subclasses__()]

    assert sorted(set(codes)) == sorted(codes)
    assert not {0, 1} & set(codes)


def test_exports_into_one_output_at_once_lose_nothing() -> None:
    """More of them: python -m tests.export.races."""
    counts = race(pairs=2, kills=1, seed=random.randrange(2**16))  # noqa: S311

    assert counts["killed"] == 1
    assert counts["models checked"] >= 3
