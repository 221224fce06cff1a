"""What `python -m gateway.local` decides without a Triton."""

import json
import os
import shlex
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway.local import supervisor
from gateway.local.__main__ import listen
from gateway.local.front_door import ApiKey, FrontDoor, find_api_key
from gateway.local.supervisor import check_repository, in_background, keep_running
from gateway.local.triton_process import free_ports, share_memory
from gateway.local.triton_wheel import CannotServe, environment, find_triton


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "made" / "api_key"
    first = find_api_key({}, file)
    assert first.key.startswith("te-")
    assert len(first.key) > 30
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert find_api_key({}, file) == first


def test_a_key_of_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    key = find_api_key({"GATEWAY_API_KEYS": "sha256:00,mine,other"}, tmp_path / "api_key")
    assert key == ApiKey("mine", "GATEWAY_API_KEYS")
    assert not (tmp_path / "api_key").exists()


def test_a_key_known_by_digest_only_is_not_one_to_print(tmp_path: Path) -> None:
    key = find_api_key({"GATEWAY_API_KEYS": "sha256:00"}, tmp_path / "api_key")
    assert key.home == str(tmp_path / "api_key")


def test_a_key_file_without_a_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "api_key").write_text("# nothing\n\n")
    with pytest.raises(CannotServe, match="holds no API key"):
        find_api_key({}, tmp_path / "api_key")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1:80"),
        ("0.0.0.0", "127.0.0.1:80"),  # noqa: S104
        ("::", "[::1]:80"),
        ("fe80::1", "[fe80::1]:80"),
        ("box.lan", "box.lan:80"),
    ],
)
def test_the_address_is_one_a_client_can_connect_to(host: str, address: str) -> None:
    assert FrontDoor(host, 80, ApiKey("k", "")).address == address


def test_the_curl_line_survives_the_shell() -> None:
    line = FrontDoor("127.0.0.1", 80, ApiKey("k'y", "")).curl("it's/a model")
    words = shlex.split(line)
    assert words[:3] == ["curl", "-s", "http://127.0.0.1:80/v1/embeddings"]
    assert "Authorization: Bearer k'y" in words
    assert json.loads(words[-1])["model"] == "it's/a model"


def test_nobody_at_the_door_means_no_models() -> None:
    assert FrontDoor("127.0.0.1", free_ports(1)[0], ApiKey("k", "")).models() == []


@pytest.mark.parametrize("exists", [True, False], ids=["empty", "missing"])
def test_a_folder_without_models_is_refused_with_the_way_out(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path if exists else tmp_path / "nowhere"
    with pytest.raises(CannotServe, match="python -m export --output"):
        check_repository(folder)


def test_a_port_in_use_is_refused_with_the_way_out() -> None:
    (taken,) = listen("127.0.0.1", 0)
    with taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotServe, match=rf"127\.0\.0\.1:{port}.*--port"):
            listen("127.0.0.1", port)


def test_a_missing_wheel_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytriton", None)  # how Python spells "not installed"
    with pytest.raises(CannotServe, match=r"pip install.*local.*Linux x86-64"):
        find_triton()


def test_triton_finds_this_interpreter_and_learns_no_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEWAY_API_KEYS", "secret")
    inherited = environment()
    assert inherited["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert "secret" not in inherited.values()
    assert inherited["TOKENIZERS_PARALLELISM"] == "false"


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20


@pytest.mark.parametrize(
    ("free_mib", "steps", "share_mib"),
    [(64, 3, 5), (16_000, 3, 32), (16, 30, 1), (16_000, 0, 32)],
    ids=["a container", "a laptop", "too little", "no step"],
)
def test_the_steps_share_what_memory_there_is(free_mib: int, steps: int, share_mib: int) -> None:
    assert share_memory(free_mib * 2**20, steps) == share_mib * 2**20


class DyingTriton:
    """Dead until it was started for the third time; the starts before fail."""

    def __init__(self, stopping: threading.Event) -> None:
        self.starts = 0
        self.stopping = stopping

    def is_whole(self) -> bool:
        if self.starts == 3:
            self.stopping.set()
        return self.starts == 3

    def start(self, stopping: threading.Event | None = None) -> None:
        self.starts += 1
        if self.starts < 3:
            raise CannotServe("no memory")


def test_a_dead_triton_is_started_until_it_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor, "CHECK_SECONDS", 0.01)  # the test need not last as long
    stopping = threading.Event()
    triton = DyingTriton(stopping)
    keep_running(triton, stopping)
    assert triton.starts == 3
    assert caplog.text.count("no memory") == 2


def test_work_in_the_background_ends_with_the_body() -> None:
    ended = threading.Event()

    def work(stopping: threading.Event) -> None:
        stopping.wait()
        ended.set()

    with in_background(work):
        assert not ended.is_set()
    assert ended.is_set()


def test_what_cannot_be_served_ends_in_one_sentence(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "gateway.local", "--repository", tmp_path / "nowhere"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("Cannot serve: ")
    assert ended.stderr.count("\n") == 1
