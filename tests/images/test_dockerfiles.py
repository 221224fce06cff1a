"""What every image promises, in the files that they are built from."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gateway.local.triton_environment import QUIET
from tests.helm.chart import container_of, render, worked
from tests.images.dockerfile import FILES, FOLDER, Stage, arguments, stages

ROOT = FOLDER.parent
HADOLINT = Path(sys.executable).with_name("hadolint")
PROGRAMS = sorted(FILES.keys() - {"model"})  # what runs; a model is read
SERVERS = ["gateway", "triton-cpu", "triton-gpu"]

each = pytest.mark.parametrize("image", sorted(FILES))
each_program = pytest.mark.parametrize("image", PROGRAMS)


def result(image: str) -> Stage:
    return stages(FILES[image])[-1]


def copied(image: str) -> list[str]:
    """What is copied out of the context."""
    commands = [text for stage in stages(FILES[image]) for text in stage.all("COPY")]
    ours = [shlex.split(text) for text in commands if "--from=" not in text]
    return [word for words in ours for word in words[:-1] if not word.startswith("--")]


def test_there_is_an_image_of_each_part() -> None:
    assert {"gateway", "triton-cpu", "triton-gpu", "export", "model"} == set(FILES)


@each
def test_hadolint_finds_nothing(image: str) -> None:
    said = subprocess.run([HADOLINT, "--no-color", FILES[image]], capture_output=True, text=True)
    assert (0, "") == (said.returncode, said.stdout)


@each_program
def test_the_base_is_an_argument_with_a_digest(image: str) -> None:
    assert re.fullmatch(r"\S+:\S+@sha256:[0-9a-f]{64}", arguments(FILES[image])["BASE"])
    assert {"${BASE}"} == {stage.base for stage in stages(FILES[image])}


@each_program
def test_what_builds_stays_in_a_stage_of_its_own(image: str) -> None:
    build, final = stages(FILES[image])
    assert "pip" in " ".join(build.all("RUN"))
    assert not re.search(r"\b(pip|apt|apt-get|curl|wget)\b", " ".join(final.all("RUN")))
    assert "build" == build.name
    assert any("--from=build" in text for text in final.all("COPY"))
    assert "sh /harden.sh && rm /harden.sh" in final.all("RUN")


@each_program
def test_what_is_copied_is_there_and_sent_along(image: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    for source in copied(image):
        assert (ROOT / source).exists()
        assert any(source == one or source.startswith(f"{one}/") for one in sent), source


@each
def test_the_user_is_a_number_and_of_group_0(image: str) -> None:
    assert ["10001:0"] == result(image).all("USER")


@each_program
def test_nothing_reports_to_anybody(image: str) -> None:
    assert QUIET.items() <= result(image).pairs("ENV").items()


@each_program
def test_a_read_only_root_is_enough(image: str) -> None:
    expected = {"HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1"}  # noqa: S108
    assert expected.items() <= result(image).pairs("ENV").items()


@pytest.mark.parametrize("image", SERVERS)
def test_what_serves_has_a_healthcheck(image: str) -> None:
    (check,) = result(image).all("HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    name = Path(command[-1]).name
    assert any(Path(source).name == name for source in copied(image))
    assert result(image).all("EXPOSE")


@each_program
def test_the_entry_point_is_no_shell_that_keeps_signals(image: str) -> None:
    (entry,) = result(image).all("ENTRYPOINT")
    assert isinstance(json.loads(entry), list)


@each
def test_the_labels_say_what_it_is(image: str) -> None:
    labels = result(image).pairs("LABEL")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    names = ["title", "description", "version", "revision"]
    assert {f"org.opencontainers.image.{name}" for name in names} <= labels.keys()
    assert "${VERSION}" == labels["org.opencontainers.image.version"]
    assert f"VERSION={version}" in result(image).all("ARG")


@pytest.mark.parametrize("flavour", ["cpu", "gpu"])
def test_without_arguments_triton_gets_those_of_the_chart(flavour: str) -> None:
    (command,) = result(f"triton-{flavour}").all("CMD")
    given = json.loads(command)
    assert "--model-repository=/models" == given[0]
    assert set(given[1:]) <= set(container_of(render(worked(flavour)), "-triton")["args"])
