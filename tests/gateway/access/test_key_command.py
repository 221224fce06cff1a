"""python -m gateway keys, as operators use it."""

import hashlib
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.__main__ import main
from gateway.access.key_edit import add_key, revoke_key
from gateway.access.keys import Keys
from gateway.api_keys import InvalidKey
from tests.gateway.key_tables import read_keys_of

DIGEST = hashlib.sha256(b"KEY").hexdigest()
HAND_WRITTEN = f"""# who may ask

[[keys]] # the first
name    = "first"  # of all
digest  = "sha256:{DIGEST}"
expires = 2100-01-01T00:00:00+02:00

# the end
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


@pytest.fixture
def written(file: Path) -> Path:
    file.write_text(HAND_WRITTEN)
    return file


def keys(file: Path, action: str, *words: str) -> None:
    main(["keys", action, "--file", str(file), *words])


def test_a_key_is_printed_once_and_its_digest_kept(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys(file, "add", "indexer")
    printed = capsys.readouterr()
    key = printed.out.strip()
    assert (key[:3], len(key)) == ("te-", 3 + 43)  # 256 bits in base64
    assert key not in printed.err + file.read_text()
    assert Keys(read_keys_of(file)).check(f"Bearer {key}").name == "indexer"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_a_key_may_do_is_written_down(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys(file, "add", "all")
    keys(
        file, "add", "some", "--models", "org/b,org/a", "c", "--requests-per-minute", "60",
        "--tokens-per-minute", "1000", "--expires", "2100-01-01",
    )  # fmt: skip
    given = capsys.readouterr().out.split()
    keys(file, "list")
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    everything, some = (hashlib.sha256(key.encode()).hexdigest()[:8] for key in given)
    assert head == ["NAME", "DIGEST", "MODELS", "REQUESTS/MIN", "TOKENS/MIN", "EXPIRES"]
    assert rows == [
        ["all", everything, "every", "no", "limit", "no", "limit", "never"],
        ["some", some, "c,org/a,org/b", "60", "1000", "2100-01-01T00:00:00+00:00"],
    ]


def test_an_expired_key_is_listed_as_such(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(HAND_WRITTEN.replace("2100", "2000"))
    keys(file, "list")
    assert capsys.readouterr().out.endswith("2000-01-01T00:00:00+02:00, expired\n")


def test_what_was_written_by_hand_stays(written: Path) -> None:
    written.chmod(0o640)
    keys(written, "add", "second")
    keys(written, "add", "third")
    both = written.read_text()
    assert both.startswith(HAND_WRITTEN.removesuffix("# the end\n"))
    assert '"\n\n[[keys]]\nname = "third"' in both
    keys(written, "revoke", "second")
    keys(written, "revoke", "third")
    assert written.read_text() == HAND_WRITTEN
    assert stat.S_IMODE(written.stat().st_mode) == 0o640


def test_the_last_key_can_be_revoked_and_others_follow(written: Path) -> None:
    keys(written, "revoke", "first")
    assert read_keys_of(written) == []
    keys(written, "add", "second")
    assert [key.name for key in read_keys_of(written)] == ["second"]


@pytest.mark.parametrize(
    "text",
    [
        "keys = []",
        f'keys = [{{name = "first", digest = "sha256:{DIGEST}"}}]',
        HAND_WRITTEN.removesuffix("\n\n# the end\n"),
        "\ufeff" + HAND_WRITTEN.replace("\n", "\r\n"),
    ],
    ids=["none", "in-line", "no-line-end", "mark-and-crlf"],
)
def test_a_key_is_added_to_whatever_is_valid(file: Path, text: str) -> None:
    file.write_bytes(text.encode())
    before = read_keys_of(file)
    add_key(file, "more", {})
    assert [*before, "more"] == [*read_keys_of(file)[:-1], read_keys_of(file)[-1].name]
    revoke_key(file, "more")
    assert before == read_keys_of(file)


def test_a_link_stays_one(written: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(written.name)
    keys(link, "add", "second")
    assert link.is_symlink()
    assert len(read_keys_of(written)) == 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["add", "first"], "there is a key called first already"),
        (["add", "two words"], "a name has 1 to 64 characters"),
        (["add", "a/b"], "a name has 1 to 64 characters"),
        (["add", "te-indexer"], "a name is no key or digest: te- is how keys begin"),
        (["add", "a", "--expires", "2000-01-01"], "this expiry is past already"),
        (["add", "a", "--expires", "2100-01-01T00:00:00"], "an expiry without an offset"),
        (["add", "a", "--expires", "soon"], "an expiry is a date such as"),
        (["add", "a", "--requests-per-minute", "0"], "has a requests_per_minute that is no whole"),
        (["add", "a", "--tokens-per-minute", "-5"], "has a tokens_per_minute that is no whole"),
        (["revoke", "second"], "there is no key called second"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_done_changes_nothing(
    written: Path, words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=f"^Cannot do that: .*{reason}"):
        keys(written, *words)
    assert (written.read_text(), capsys.readouterr().out) == (HAND_WRITTEN, "")
    assert os.listdir(written.parent) == [written.name]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("keys", "does not end in .toml"),
        ("none.toml", "No such file"),
        ("none/keys.toml", "No such file"),
        ("folder.toml", "Is a directory"),
        ("broken.toml", "it is not TOML"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "broken.toml").write_text("te-secret")
    for words in (["list"], ["revoke", "first"], ["add", "first"]):
        if (name, words[0]) == ("none.toml", "add"):
            continue  # that makes one
        with pytest.raises(SystemExit, match=f"^Cannot do that: .*{reason}"):
            keys(tmp_path / name, *words)
    assert (tmp_path / "broken.toml").read_text() == "te-secret"


def test_a_folder_that_cannot_be_written_is_told() -> None:
    with pytest.raises(SystemExit, match=r"^Cannot do that: /proc/keys.toml: "):
        keys(Path("/proc/keys.toml"), "add", "first")


def test_the_variable_names_the_file(
    written: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEWAY_API_KEYS_FILE", str(written))
    main(["keys", "list"])
    assert "first" in capsys.readouterr().out
    monkeypatch.delenv("GATEWAY_API_KEYS_FILE")
    with pytest.raises(SystemExit, match="name a key file with --file, or in GATEWAY_API_KEYS_F"):
        main(["keys", "list"])


def test_two_at_a_time_lose_nothing(written: Path) -> None:
    names = [f"key-{n}" for n in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: add_key(written, name, {}), names))
        list(pool.map(lambda name: revoke_key(written, name), names[::2]))
    assert {"first", *names[1::2]} == {key.name for key in read_keys_of(written)}


def test_a_name_is_taken_by_one_of_two(written: Path) -> None:
    def add(_: int) -> int:
        try:
            add_key(written, "same", {})
        except InvalidKey:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(8))) == 1


def test_it_is_a_command(written: Path) -> None:
    command = [sys.executable, "-m", "gateway", "keys", "list", "--file", str(written)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert listed.stdout.splitlines()[1].startswith(f"first  {DIGEST[:8]}  every")
