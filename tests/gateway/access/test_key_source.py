"""A key file that changes while the gateway runs."""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from gateway import Settings
from gateway.access.key_source import KeySource
from gateway.errors import Unauthorized
from tests.fakes import MODEL
from tests.gateway.key_tables import key_table, write_keys

ONE, TWO = key_table("ONE"), key_table("TWO")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


@pytest.fixture
def source(file: Path) -> KeySource:
    return KeySource(Settings(api_keys_file=write_keys(file, ONE)))


def let_in(source: KeySource) -> list[str]:
    """Which of the keys ONE and TWO are let in, after two looks."""
    source.look()
    source.look()
    return [key for key in ("ONE", "TWO") if is_let_in(source, key)]


def is_let_in(source: KeySource, key: str) -> bool:
    try:
        source.keys.check(key)
    except Unauthorized:
        return False
    return True


def test_a_changed_file_is_taken_up(source: KeySource, file: Path) -> None:
    assert let_in(source) == ["ONE"]
    write_keys(file, ONE, TWO)
    assert let_in(source) == ["ONE", "TWO"]
    write_keys(file, TWO)
    assert let_in(source) == ["TWO"]
    write_keys(file, "keys = []")  # the last one was revoked
    assert let_in(source) == []


def test_a_file_that_is_still_being_written_is_not(source: KeySource, file: Path) -> None:
    write_keys(file, TWO)
    source.look()
    write_keys(file, TWO, ONE)
    source.look()
    assert is_let_in(source, "ONE")
    assert not is_let_in(source, "TWO")
    assert let_in(source) == ["ONE", "TWO"]


def as_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def as_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda file: file.write_text(""), "it holds no key: write"),
        (lambda file: file.write_text("te-secret"), "it is not TOML"),
        (lambda file: file.write_bytes(b"\x80"), "it is not text in UTF-8"),
        (lambda file: file.write_text(ONE + ONE), "two keys are called one"),
        (lambda file: file.unlink(), "it cannot be read: No such file or directory"),
        (as_a_folder, "it cannot be read: Is a directory"),
        (as_a_pipe, "it is no regular file"),
    ],
    ids=["empty", "no-toml", "no-text", "twice", "gone", "folder", "pipe"],
)
def test_a_file_that_cannot_be_used_is_refused_while_the_old_one_serves(
    source: KeySource,
    file: Path,
    change: Callable[[Path], object],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    loaded_at = source.loaded_at
    change(file)
    with caplog.at_level(logging.INFO):
        assert let_in(source) == let_in(source) == ["ONE"]
    (line,) = caplog.messages  # once, however often it is looked at
    assert line.startswith(f"GATEWAY_API_KEYS_FILE is refused, the keys before it go on: {reason}")
    assert "secret" not in line
    assert (source.is_valid, source.loaded_at) == (False, loaded_at)
    if not file.is_file():
        file.rmdir() if file.is_dir() else file.unlink(missing_ok=True)
    write_keys(file, ONE)
    assert let_in(source) == ["ONE"]
    assert source.is_valid


def test_a_mount_that_exchanges_its_link_is_seen(tmp_path: Path) -> None:
    """As Kubernetes changes a secret: another folder behind the same link."""
    for name, table in (("first", ONE), ("second", TWO)):
        (tmp_path / name).mkdir()
        write_keys(tmp_path / name / "keys.toml", table)
    (tmp_path / "data").symlink_to("first")
    source = KeySource(Settings(api_keys_file=str(tmp_path / "data" / "keys.toml")))
    (tmp_path / "next").symlink_to("second")
    os.replace(tmp_path / "next", tmp_path / "data")
    assert let_in(source) == ["TWO"]


def test_a_change_that_keeps_size_and_time_is_seen(source: KeySource, file: Path) -> None:
    before = os.stat(file)
    write_keys(file, TWO)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert before.st_size == os.stat(file).st_size
    assert let_in(source) == ["TWO"]


def test_a_file_with_a_key_a_line_is_taken_up_too(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    source = KeySource(Settings(api_keys_file=write_keys(file, "ONE\n")))
    write_keys(file, "ONE\nTWO\n")
    assert let_in(source) == ["ONE", "TWO"]
    write_keys(file, "# nobody\n")  # which says nothing on purpose
    assert let_in(source) == ["ONE", "TWO"]


@pytest.fixture
def settings(file: Path) -> Settings:
    return Settings(api_keys_file=write_keys(file, key_table("KEY"), ONE))


@pytest.mark.anyio
async def test_the_gateway_takes_up_a_change_and_tells(
    client: httpx.AsyncClient, app: Starlette, file: Path
) -> None:
    async def metrics() -> str:
        return (await client.get("/metrics")).text

    body = {"model": MODEL, "input": "x"}
    headers = {"Authorization": "Bearer ONE"}
    assert "gateway_key_file_valid 1.0" in await metrics()
    write_keys(file, key_table("KEY"))
    async with asyncio.timeout(10):
        while (await client.post("/embeddings", json=body, headers=headers)).status_code == 200:
            await asyncio.sleep(0.05)
    write_keys(file, "nothing")
    async with asyncio.timeout(10):
        while "gateway_key_file_valid 0.0" not in await metrics():
            await asyncio.sleep(0.05)
    assert (await client.post("/embeddings", json=body)).status_code == 200
    read = app.state.gateway.metrics.registry.get_sample_value
    loaded_at = app.state.gateway.key_source.loaded_at
    assert read("gateway_key_file_loaded_timestamp_seconds") == loaded_at


@pytest.mark.anyio
async def test_a_model_that_nobody_serves_is_told_once(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_keys(file, key_table("ONE", models=["org/a", "org/mispelled"]))
    source = KeySource(Settings(api_keys_file=str(file)))
    models: list[str] = []
    looks = 0

    def served_models() -> list[str]:
        nonlocal looks
        looks += 1
        if looks == 2:  # until then nobody knows
            models.extend(["org/a", "org/b"])
        if looks == 4:
            raise asyncio.CancelledError
        return models

    with pytest.raises(asyncio.CancelledError):
        await source.watch(served_models, look_seconds=0)
    assert caplog.messages == ["key one is for the model 'org/mispelled', which is not served"]


@pytest.mark.anyio
async def test_a_look_that_breaks_is_not_the_last(
    source: KeySource, caplog: pytest.LogCaptureFixture
) -> None:
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise RuntimeError("can't start new thread")
        raise asyncio.CancelledError

    source.look = look  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await source.watch(list, look_seconds=0)
    assert "the key file could not be looked at, trying again" in caplog.messages
