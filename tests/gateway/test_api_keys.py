"""API keys as operators write them, and miswrite them."""

import hashlib
from pathlib import Path

import pytest

from gateway import Settings
from gateway.api_keys import MAX_CHARACTERS, InvalidKey, read_key_file, read_keys
from gateway.settings import SettingsError

HEX = hashlib.sha256(b"KEY").hexdigest()
KEY_DIGEST = hashlib.sha256(b"KEY").digest()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("KEY", [(1, "KEY")]),
        ("a,b", [(1, "a"), (2, "b")]),
        (" a ,, b\t, ", [(1, "a"), (3, "b")]),
        ("", []),
        (" , ", []),
        ("#a", [(1, "#a")]),
        ("two words", [(1, "two words")]),
        ("schlüssel", [(1, "schlüssel")]),
        ("a,a", [(1, "a"), (2, "a")]),
        ("s", [(1, "s")]),
        ("sha", [(1, "sha")]),
        (HEX, [(1, HEX)]),
        ("bearer", [(1, "bearer")]),
        ("a" * MAX_CHARACTERS, [(1, "a" * MAX_CHARACTERS)]),
    ],
)
def test_keys_stand_between_commas(text: str, expected: list[tuple[int, str]]) -> None:
    assert expected == [(entry.place, entry.text) for entry in read_keys(text)]


@pytest.mark.parametrize("prefix", ["sha256:", "SHA256:", "Sha256:"])
@pytest.mark.parametrize("digits", [HEX, HEX.upper()])
def test_a_digest_stands_for_its_key(prefix: str, digits: str) -> None:
    (entry,) = read_keys(prefix + digits)
    assert (entry.is_digest, entry.digest) == (True, KEY_DIGEST)


def test_a_key_is_known_by_its_digest() -> None:
    (entry,) = read_keys("KEY")
    assert (entry.is_digest, entry.digest) == (False, KEY_DIGEST)
    assert "KEY" not in repr(entry).replace("KeyEntry", "")


@pytest.mark.parametrize(
    "written",
    [
        f"sha256:{HEX[:-2]}",
        f"sha256:{HEX}00",
        f"sha256:{HEX[:-1]}g",
        "sha256:",
        f"sha256: {HEX}",
        f"sha256={HEX}",
        f"sha256 {HEX}",
        f"sha256-{HEX}",
        f"sha256{HEX}",
        f"SHA-256:{HEX}",
        f'"sha256:{HEX}"',
        f"'sha256:{HEX}",
        f"$sha256:{HEX}",
        f"sha256:{HEX}  -",
        f"{HEX}  -",
        f"{HEX.upper()} *key.txt",
        f"sha256:0x{HEX}",
    ],
)
def test_what_was_meant_to_be_a_digest_is_no_key(written: str) -> None:
    with pytest.raises(InvalidKey, match=r"^key 2 looks like a digest and is none: ") as told:
        read_keys(f"KEY,{written}")
    assert HEX[:8] not in str(told.value).lower()


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ('"secret"', "is quoted"),
        ("'secret", "is quoted"),
        ("secret`", "is quoted"),
        ('"', "is quoted"),
        ("Bearer secret", "begins with Bearer"),
        ("bearer secret", "begins with Bearer"),
        ("secret\nother", "has a character that no client could send"),
        ("secret\x00", "has a character that no client could send"),
        ("sec\u200bret", "has a character that no client could send"),
        ("sec\u00a0ret", "has a character that no client could send"),
        ("secret\udcff", "has a character that no client could send"),
        ("a" * (MAX_CHARACTERS + 1), f"has more than {MAX_CHARACTERS} characters"),
    ],
    ids=ascii,
)
def test_what_no_client_could_send_is_no_key(written: str, reason: str) -> None:
    with pytest.raises(InvalidKey, match=f"^key 1 {reason}") as told:
        read_keys(written)
    assert "secret" not in str(told.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_a_file_has_one_key_a_line(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf# ours\r\n\r\n first \r\n#second\nsha256:%s" % HEX.encode())
    entries = [(entry.place, entry.text) for entry in read_key_file(file)]
    assert entries == [(3, "first"), (5, f"sha256:{HEX}")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it holds no key"),
        (b"\n# nothing\n \n", "it holds no key"),
        (b"\xff\xfes\x00e\x00c\x00r\x00e\x00t\x00", "it is not text in UTF-8"),
        (b"\x7fELF\x02\x00secret\xff", "it is not text in UTF-8"),
        (b"\x00secret\x01", "line 1 has a character"),
        (b"a\nsecret,b\n", "line 2 has a comma: write one key a line"),
        (b"#\nsha256:secret", "line 2 looks like a digest"),
        (b"se\x0ccret", "line 1 has a character"),
    ],
)
def test_a_file_that_is_none_is_told(file: Path, content: bytes, reason: str) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidKey, match=f"^{reason}") as told:
        read_key_file(file)
    assert "secret" not in str(told.value)


def test_a_setting_that_is_no_key_is_told_by_its_variable() -> None:
    with pytest.raises(SettingsError, match=r"^GATEWAY_API_KEYS: key 1 looks like a digest"):
        Settings.from_environ({"GATEWAY_API_KEYS": f"sha256:{HEX[:-2]}"})
