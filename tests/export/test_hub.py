"""Downloads from a Hub on loopback: what is fetched, what is said, and what is never said."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.checkpoints import make_checkpoint
from tests.export.hub_cases import CASES, CUT, PATIENCE_SECONDS, ROOT, Ended, Place, a_place
from tests.export.hub_models import BIG, FULL, OLDER, WEIGHTS, Repository, files
from tests.export.hub_server import STRANGER, TOKEN, Fault, Model

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with a_place(tmp_path) as here:
        yield here


def run(name: str, home: Path) -> tuple[str, Ended]:
    """What a case should say, and how it ended."""
    with a_place(home) as place:
        ended = CASES[name].run(place)
        return place.fill(CASES[name].told), ended


@pytest.fixture(scope="module")
def endings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[tuple[str, Ended]]]]:
    """The selected cases, side by side: each waits more than it works."""
    chosen = [item.name.partition("[")[2].rstrip("]") for item in request.session.items]
    with ThreadPoolExecutor(4) as pool:
        yield {
            name: pool.submit(run, name, tmp_path_factory.mktemp("home"))
            for name in chosen
            if name in CASES
        }


@pytest.mark.parametrize("name", CASES)
def test_a_download_ends_in_one_sentence(
    name: str, endings: dict[str, Future[tuple[str, Ended]]]
) -> None:
    case, (told, ended) = CASES[name], endings[name].result()

    assert (case.code, case.fetched) == (ended.code, ended.fetched_bytes)
    assert ("" if case.code == 0 else f"export: {told}\n") == ended.err
    assert case.code != 0 or told == ended.out
    assert not [token for token in (TOKEN, STRANGER) if token in ended.out + ended.err]


def test_nothing_is_asked_but_of_the_model(place: Place) -> None:
    place.run("org/full")

    others = [asked for asked in place.hub.asked if "/org/full" not in asked]
    assert ([], set(FULL.needed)) == (others, set(place.hub.sent))


def test_what_the_cache_holds_is_not_looked_for_again(place: Place) -> None:
    place.run("org/full")
    place.run("org/full")

    assert ["GET /api/models/org/full"] == place.hub.asked


def test_a_branch_that_has_moved_fetches_what_is_new(place: Place) -> None:
    place.run("org/full")
    place.hub.models["org/full"] = Model({"main": OLDER.files})

    ended = place.run("org/full")

    told = f"Fetching 1 of {len(FULL.needed)} files, 500B, of org/full at commit {OLDER.commit}"
    assert (told, len(OLDER.needed[WEIGHTS])) == (ended.out.splitlines()[0], ended.fetched_bytes)


def test_a_broken_download_goes_on_where_it_was(place: Place) -> None:
    CASES["broken once"].run(place)

    ranges = [asked for asked in place.hub.asked if "bytes=" in asked]
    assert [f"{10 * 2**20}-"] == [asked.rpartition("bytes=")[2] for asked in ranges]


def test_files_without_their_list_are_not_taken_for_a_whole_model(place: Place) -> None:
    """Another program may have fetched some of them, and left out what says how to pool."""
    place.run("org/full")
    shutil.rmtree(place.cache / "models--org--full" / "trees")

    ended = place.run("org/full", HF_HUB_OFFLINE="1")

    assert (3, True) == (ended.code, "is known to be whole: unset it" in ended.err)


def test_a_password_of_a_mirror_is_not_printed(place: Place) -> None:
    place.hub.stop()

    ended = place.run("org/full", HF_ENDPOINT=place.hub.endpoint.replace("//", "//me:secret@"))

    assert (3, False) == (ended.code, "secret" in ended.out + ended.err)
    assert f"the Hub at {place.hub.endpoint} cannot be reached" in ended.err


def test_a_terminal_shows_a_bar_of_bytes(place: Place) -> None:
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 80))  # rows, columns
    place.hub.faults = {WEIGHTS: Fault(cut_after=CUT, times=1)}  # goes on after a second
    command, environment = place.command("org/big"), place.environment()
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=end, check=False
    )
    os.set_blocking(terminal, False)
    shown = os.read(terminal, 100_000).decode()
    os.close(end)
    os.close(terminal)

    assert (0, 2) == (ended.returncode, ended.stdout.count(b"\n"))
    size = f"{BIG.size_bytes / 1e6:.1f}M"
    assert (True, True) == (f"0.00/{size} [" in shown, f"{size}/{size} [" in shown)
    assert not shown.strip("\r ").count("\n"), "more than one bar, or words beside it"


def test_an_interrupt_ends_a_download_at_once(place: Place) -> None:
    place.hub.faults = {WEIGHTS: Fault(silent=True)}
    started = subprocess.Popen(
        place.command("org/full"), cwd=ROOT, env=place.environment(), stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any("/cdn/" in asked for asked in place.hub.asked):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(1)  # it waits for bytes by then
    started.send_signal(signal.SIGINT)

    _, told = started.communicate(timeout=8)  # 10 s is what huggingface_hub waits for bytes
    assert (130, 1) == (started.returncode, told.count(b"\n"))


def test_a_model_of_the_hub_is_exported_and_known_again_without_it(
    place: Place, tmp_path: Path
) -> None:
    folder = make_checkpoint(tmp_path / "tiny", "bert")
    made = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.*")}
    needed = {name: path.read_bytes() for name, path in made.items() if path.is_file()}
    tiny = Repository(needed, files("README.md pytorch_model.bin onnx/model.onnx tf_model.h5"))
    place.hub.models["org/tiny"] = Model({"main": tiny.files})

    def export() -> str:
        command = [sys.executable, "-m", "export", "org/tiny", "--output", str(tmp_path / "models")]
        return subprocess.run(
            command, cwd=ROOT, env=place.environment(), capture_output=True, text=True, check=True
        ).stdout

    assert "org/tiny: exported to" in export()
    assert tiny.size_bytes == place.hub.sent.total()
    manifest = json.loads((tmp_path / "models/org--tiny/manifest.json").read_text())
    assert tiny.commit == manifest["revision"]
    place.hub.stop()
    assert "org/tiny: already exported to" in export()


@pytest.mark.parametrize(
    ("own", "told"),
    [
        (
            {"auto_map": {"AutoModel": "modeling.Own"}},
            "the repository's own code, modeling.Own, which is not run",
        ),
        ({}, "give --pooling {mean,"),
    ],
    ids=["own code", "no pooling"],
)
def test_a_checkpoint_that_is_refused_costs_no_weights(
    own: dict[str, object], told: str, place: Place, tmp_path: Path
) -> None:
    own = {"model_type": "qwen3", **own}
    held = {"config.json": json.dumps(own).encode(), "model.safetensors": b"weights"}
    place.hub.models["org/own"] = Model({"main": Repository(held, {}).files})

    ended = subprocess.run(
        [sys.executable, "-m", "export", "org/own", "--output", str(tmp_path / "models")],
        cwd=ROOT,
        env=place.environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert 4 == ended.returncode
    assert told in ended.stderr
    assert "config.json" in place.hub.sent
    assert "model.safetensors" not in place.hub.sent
