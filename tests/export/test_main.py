"""The command line: what it asks for, what it refuses, and that nothing ends in a trace."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from export import __main__ as command
from export.__main__ import main
from export.checkpoint import DEFAULT_CHECKPOINT
from export.errors import RepositoryConflict, UnsupportedModel
from export.pipeline import ExportOptions, ExportResult
from export.serving import Serving
from tests.export.exports import put

Options = Callable[..., ExportOptions]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Options:
    """The options that a command line ends in."""
    caught: list[ExportOptions] = []
    manifest = put(tmp_path / "known", "org/m")

    # Patched because an export itself takes seconds: tests/export/test_pipeline.py runs them.
    def export_model(options: ExportOptions, report: object) -> ExportResult:
        caught.append(options)
        return ExportResult(manifest, fresh=False)

    monkeypatch.setattr(command, "export_model", export_model)

    def ask(*arguments: str) -> ExportOptions:
        assert 0 == main([*arguments, "--output", "models"])
        return caught.pop()

    return ask


def test_nothing_but_an_output_exports_the_default_checkpoint(asked: Options) -> None:
    serving = Serving(served_name=DEFAULT_CHECKPOINT)
    assert ExportOptions(output=Path("models"), serving=serving) == asked()


def test_every_option_arrives(asked: Options) -> None:
    options = asked(
        *("org/checkpoint", "--served-name", "org/m", "--alias", "a, b,,a", "--alias", "c"),
        *("--matryoshka", "--revision", "main", "--pooling", "cls", "--max-length", "128"),
        *("--precision", "int8", "--threads", "3", "--instances", "2", "--no-spinning"),
        *("--micro-batch-tokens", "64", "--force", "--ignore", "a", "--ignore", "b"),
    )
    serving = Serving(
        served_name="org/m",
        aliases=("a", "b", "c"),
        matryoshka=True,
        precision="int8",
        micro_batch_tokens=64,
        threads=3,
        instances=2,
        spinning=False,
    )
    assert options == ExportOptions(
        output=Path("models"),
        serving=serving,
        checkpoint="org/checkpoint",
        revision="main",
        pooling="cls",
        max_length=128,
        ignored=("a", "b"),
        force=True,
    )


def test_every_option_of_a_gpu_arrives(asked: Options) -> None:
    options = asked(
        *("org/m", "--target", "cuda", "--precision", "bf16", "--gpus", "2,0"),
        *("--tokenizers", "8", "--quantizers", "3", "--memory-mib", "4096"),
        *("--segments-mib", "64"),
    )
    assert options.serving == Serving(
        served_name="org/m",
        target="cuda",
        precision="bf16",
        gpus=(2, 0),
        tokenizers=8,
        quantizers=3,
        memory_mib=4096,
        segments_mib=64,
    )


def test_a_folder_is_served_under_its_last_part(asked: Options, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    assert "tiny" == asked(str(tmp_path / "tiny/")).serving.served_name


ABSURD = ["-1", "-0", "1.5", "1e3", "", " 1", "\u0661", "0x10", "nan", "9" * 5000]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--threads", [*ABSURD, "1025"]),
        ("--instances", [*ABSURD, "0", "65"]),
        ("--micro-batch-tokens", [*ABSURD, "0", "65537"]),
        ("--max-length", [*ABSURD, "0", str(2**20 + 1)]),
        ("--served-name", ["", " ", "\t"]),
        ("--revision", [""]),
        ("--output", [""]),
        ("--pooling", ["median"]),
        ("--precision", ["fp8"]),
        ("--target", ["gpu"]),
        ("--gpus", ["", ",", "0,", "-1", "a", "64", "0;1"]),
        ("--tokenizers", [*ABSURD, "0", "65"]),
        ("--segments-mib", [*ABSURD, "65537"]),
    ],
)
def test_an_absurd_argument_is_refused_in_one_sentence(
    option: str, words: list[str], capsys: pytest.CaptureFixture[str], asked: Options
) -> None:
    for word in words:
        with pytest.raises(SystemExit) as caught:
            main(["--output", "models", f"{option}={word}"])
        assert 2 == caught.value.code
        assert f"error: argument {option}: " in capsys.readouterr().err


def test_an_empty_checkpoint_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["", "--output", "models"])
    assert "argument checkpoint: must not be empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--served-name", ".."], "--served-name '..': a name holds ASCII letters"),
        (["--served-name", "a b"], "--served-name 'a b': "),
        (["--alias", "ok,not ok"], "--alias 'not ok': "),
        (["--alias", "größe"], "--alias 'größe': "),
        (["--target", "cuda", "--threads", "2"], "--threads is for --target cpu: "),
        (["--served-name", "x" * 300], f"--served-name '{'x' * 40}'… is too long: "),
    ],
)
def test_what_cannot_be_served_is_a_wrong_argument(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str], asked: Options
) -> None:
    assert 2 == main([*arguments, "--output", "models"])
    error = capsys.readouterr().err
    assert error.startswith(f"export: {told}")
    assert 1 == error.count("\n")


@pytest.mark.parametrize("checkpoint", ["/nowhere", "../nowhere", "a//b", "a b", "~/m", "m\n"])
def test_what_can_be_neither_a_folder_nor_a_hub_id_is_said(
    checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 3 == main([checkpoint, "--output", "models"])
    assert f"export: {checkpoint} is neither a folder nor a Hub id\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (RepositoryConflict("taken"), 7, "export: taken\n"),
        (FileNotFoundError(2, "No such file", "a/b"), 1, "export: a/b: No such file\n"),
        (OSError(28, "No space left on device"), 1, "export: models: No space left on device\n"),
        (OSError("half a disk"), 1, "export: models: half a disk\n"),
        (
            ModuleNotFoundError("No module named 'optimum'"),
            1,
            "export: the exporter's libraries are not installed (No module named 'optimum'): "
            "pip install 'triton-embeddings[export]'\n",
        ),
        (KeyboardInterrupt(), 130, "export: interrupted; what the output holds is whole\n"),
        (
            RuntimeError("shapes (3, 4)\n  do not fit"),
            70,
            "export: unexpected, --traceback shows where: RuntimeError: shapes (3, 4) do not fit\n",
        ),
    ],
)
def test_whatever_happens_is_one_sentence_and_an_exit_code(
    error: BaseException,
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Patched because most of these cannot be brought about here.
    def fail(options: ExportOptions, report: object) -> NoReturn:
        raise error

    monkeypatch.setattr(command, "export_model", fail)

    assert code == main(["--output", "models"])
    assert ("", told) == capsys.readouterr()


def test_the_trace_of_an_unexpected_error_is_shown_if_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Patched because an unexpected error is one that we cannot bring about.
    def fail(options: ExportOptions, report: object) -> NoReturn:
        raise RuntimeError("unexpected")

    monkeypatch.setattr(command, "export_model", fail)

    assert 70 == main(["--output", "models", "--traceback"])
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_the_trace_of_a_library_is_shown_if_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Patched because it needs a checkpoint, and half a minute.
    def fail(options: ExportOptions, report: object) -> NoReturn:
        raise UnsupportedModel("a: it cannot be read (ValueError)") from ValueError("of a library")

    monkeypatch.setattr(command, "export_model", fail)

    assert 4 == main(["--output", "models"])
    assert "export: a: it cannot be read (ValueError)\n" == capsys.readouterr().err

    assert 4 == main(["--output", "models", "--traceback"])
    assert "ValueError: of a library" in capsys.readouterr().err


# A program that has the gateway's libraries alone, as `pip install triton-embeddings` leaves it.
BARE = """
import sys

MISSING = {"httpx2", "huggingface_hub", "onnx", "onnxruntime", "onnxscript", "onnx_ir", "optimum",
           "safetensors", "tokenizers", "torch", "tqdm", "transformers"}

class Bare:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Bare())
from export.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def run_bare(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BARE, *arguments], capture_output=True, text=True, check=False
    )


def test_help_needs_no_library_of_the_exporter() -> None:
    ended = run_bare("--help")
    assert (0, "") == (ended.returncode, ended.stderr)
    assert "--output" in ended.stdout


def test_an_export_without_its_libraries_says_how_to_install_them(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint/config.json").write_text('{"model_type": "bert"}')
    ended = run_bare(str(tmp_path / "checkpoint"), "--output", str(tmp_path / "models"))
    assert 1 == ended.returncode
    assert ended.stderr.endswith("pip install 'triton-embeddings[export]'\n")
    assert 1 == ended.stderr.count("\n")
    assert ["checkpoint"] == os.listdir(tmp_path)


@pytest.mark.parametrize("output", [".", "models", "a/../models"])
def test_an_output_within_the_checkpoint_is_refused(
    tmp_path: Path, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint/a").mkdir(parents=True)
    inside = tmp_path / "checkpoint" / output

    assert 2 == main([str(tmp_path / "checkpoint"), "--output", str(inside)])
    told = f"--output {inside} lies in the checkpoint {tmp_path}/checkpoint: choose another"
    assert f"export: {told}\n" == capsys.readouterr().err
    assert ["a"] == os.listdir(tmp_path / "checkpoint")


def test_a_folder_has_no_revision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "checkpoint").mkdir()
    checkpoint = str(tmp_path / "checkpoint")

    assert 2 == main([checkpoint, "--revision", "main", "--output", str(tmp_path / "models")])
    told = f"--revision 'main': {checkpoint} is a folder and has none"
    assert f"export: {told}\n" == capsys.readouterr().err


def test_an_output_that_is_a_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "file").touch()

    assert 1 == main([str(tmp_path / "checkpoint"), "--output", str(tmp_path / "file")])
    assert f"export: {tmp_path}/file: Not a directory\n" == capsys.readouterr().err
