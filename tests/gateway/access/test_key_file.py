"""Key files of both kinds, as operators write and miswrite them."""

import hashlib
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from gateway.access.key_file import read_key_tables
from gateway.access.key_source import KeySource
from gateway.access.keys import Key
from gateway.api_keys import MAX_FILE_BYTES, InvalidKey
from gateway.settings import Settings, SettingsError
from tests.gateway.key_tables import read_keys_of

HEX = hashlib.sha256(b"KEY").hexdigest()
OTHER = hashlib.sha256(b"OTHER").hexdigest()
FULL = f"""
# ours
[[keys]]
name = "indexer-1.a"
digest = "sha256:{HEX}"
models = ["org/model"]
requests_per_minute = 600
tokens_per_minute = 1_000_000
expires = 2027-01-01

[[keys]]
name = "search"
digest = "SHA256:{OTHER.upper()}"
"""
ONE = f'[[keys]]\nname = "a"\ndigest = "sha256:{HEX}"\n'


def test_a_table_says_what_its_key_may_do() -> None:
    indexer, search = read_key_tables(FULL)
    assert indexer == Key(
        name="indexer-1.a",
        digest=bytes.fromhex(HEX),
        models=frozenset({"org/model"}),
        requests_per_minute=600,
        tokens_per_minute=1_000_000,
        expires=datetime(2027, 1, 1, tzinfo=UTC),
    )
    assert search == Key("search", bytes.fromhex(OTHER))


def test_an_expiry_in_another_time_zone_is_a_moment() -> None:
    (key,) = read_key_tables(ONE + "expires = 2027-01-01T00:30:00+02:00")
    assert key.expires == datetime(2026, 12, 31, 22, 30, tzinfo=UTC)
    assert key.expires.tzinfo == timezone(timedelta(hours=2))


def test_nobody_is_let_in_only_where_that_is_said() -> None:
    assert read_key_tables("keys = []") == []
    for text in ("", "# nothing\n"):
        with pytest.raises(InvalidKey, match=r"^it holds no key: write"):
            read_key_tables(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("te-secret = te-secret", r"it is not TOML \(line 1, column 13\)$"),
        ('[[keys]]\nname = "te-secret', r"it is not TOML \(end of doc"),
        ("a = " + "[" * 10_000, "it is not TOML"),
        ("a = " + "1" * 5000, "it is not TOML"),
        ("[[keys]]\n[[keys]]\nname.te-secret = 1\nname = 2", "it is not TOML"),
        (ONE + "[te-secret]", "it holds something beside"),
        ('keys = "te-secret"', "keys are no tables"),
        ('keys = ["te-secret"]', "keys are no tables"),
        ('[keys]\nte-secret = "x"', "keys are no tables"),
        ("[[keys]]\n", "key 1 has no such name as it must: a name has 1 to 64 characters of"),
        ('[[keys]]\nname = "te secret"', "key 1 has no such name"),
        ('[[keys]]\nname = ""', "key 1 has no such name"),
        (f'[[keys]]\nname = "{"a" * 65}"', "key 1 has no such name"),
        ("[[keys]]\nname = 1", "key 1 has no such name"),
        ('[[keys]]\nname = "a\\n"', "key 1 has no such name"),
        ('[[keys]]\nname = "te-secret"', "key 1 has no such name as it must: a name is no key or"),
        (f'[[keys]]\nname = "{HEX}"', "key 1 has no such name as it must: a name is no key or"),
        (ONE.replace('"a"', '"KEY"'), "key 1 is called by itself: logs and metrics would tell it"),
        ('[[keys]]\nname = "a"', "key 1, a, has a digest that is not sha256: and 64 hex"),
        ('[[keys]]\nname = "a"\ndigest = "te-secret"', "key 1, a, has a digest that is not"),
        (f'[[keys]]\nname = "a"\ndigest = "{HEX}"', "key 1, a, has a digest that is not"),
        ('[[keys]]\nname = "a"\ndigest = ["te-secret"]', "key 1, a, has a digest that is not"),
        (ONE + "te-secret = 1", "key 1, a, has something that is none of name, digest, models"),
        (ONE + 'models = "org/model"', "key 1, a, has models that are no list of ids"),
        (ONE + "models = [1]", "key 1, a, has models that are no list of ids"),
        (ONE + "models = []", "key 1, a, has an empty list of models: leave it out for every"),
        (ONE + "requests_per_minute = 0", "key 1, a, has a requests_per_minute that is no whole"),
        (ONE + "requests_per_minute = true", "key 1, a, has a requests_per_minute"),
        (ONE + "tokens_per_minute = -1", "key 1, a, has a tokens_per_minute that is no whole"),
        (ONE + "tokens_per_minute = 1.5", "key 1, a, has a tokens_per_minute"),
        (ONE + "tokens_per_minute = 1_000_000_000_001", "key 1, a, has a tokens_per_minute"),
        (ONE + 'tokens_per_minute = "10"', "key 1, a, has a tokens_per_minute"),
        (ONE + "expires = 2027-01-01T00:00:00", "key 1, a, has an expiry without an offset"),
        (ONE + 'expires = "2027-01-01"', "key 1, a, has an expiry that is no date such as"),
        (ONE + "expires = 12:00:00", "key 1, a, has an expiry that is no date"),
        (ONE + "expires = 2027-02-30", "it is not TOML"),
        (ONE + ONE.replace(HEX, OTHER), "two keys are called a"),
        (ONE + ONE.replace('"a"', '"b"'), "a and b have the same digest"),
    ],
    ids=lambda text: text[-30:],
)
def test_what_is_wrong_is_told_by_its_entry(text: str, reason: str) -> None:
    with pytest.raises(InvalidKey, match=f"^{reason}") as told:
        read_key_tables(text)
    assert "secret" not in str(told.value)
    assert HEX[:8] not in str(told.value)


@pytest.mark.parametrize("name", ["keys.toml", "KEYS.TOML"])
def test_the_ending_tells_the_kind(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"\xef\xbb\xbf" + FULL.replace("\n", "\r\n").encode())
    assert [key.name for key in read_keys_of(file)] == ["indexer-1.a", "search"]
    lines = tmp_path / "keys"
    lines.write_text(f"KEY\nsha256:{OTHER}")
    assert [key.digest.hex() for key in read_keys_of(lines)] == [HEX, OTHER]


def test_what_is_no_file_is_told_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    with pytest.raises(InvalidKey, match="it is no regular file"):
        read_keys_of(pipe)
    huge = tmp_path / "huge.toml"
    with open(huge, "wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(InvalidKey, match=f"it has more than {MAX_FILE_BYTES} bytes"):
        read_keys_of(huge)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def open_from(**environ: str) -> list[str]:
    """The names of the keys of an environment, of KEY and OTHER."""
    keys = KeySource(Settings.from_environ({f"GATEWAY_{k}": v for k, v in environ.items()})).keys
    return [keys.name_of(bytes.fromhex(digest)) for digest in (HEX, OTHER)]


def test_keys_come_from_both_places(file: Path) -> None:
    file.write_text(ONE)
    assert open_from(API_KEYS="OTHER", API_KEYS_FILE=str(file)) == ["a", OTHER[:8]]
    assert open_from(API_KEYS_FILE=str(file)) == ["a", OTHER[:8]]


def test_a_key_with_limits_is_not_let_in_without_them(file: Path) -> None:
    file.write_text(ONE)
    with pytest.raises(SettingsError, match=r"^GATEWAY_API_KEYS_FILE: a is in GATEWAY_API_KEYS t"):
        open_from(API_KEYS="KEY", API_KEYS_FILE=str(file))


def test_a_key_may_stand_in_two_lists_without_limits(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"KEY\nsha256:{HEX}\nOTHER\n")
    assert open_from(API_KEYS="KEY", API_KEYS_FILE=str(file)) == [HEX[:8], OTHER[:8]]


def test_without_a_key_it_refuses_to_start(file: Path) -> None:
    file.write_text("keys = []")
    with pytest.raises(SettingsError, match=r"^no API key is configured: GATEWAY_API_KEYS_FILE"):
        open_from(API_KEYS_FILE=str(file))
    open_from(API_KEYS_FILE=str(file), AUTH="off")


def test_a_file_that_cannot_be_read_is_told_without_its_name(tmp_path: Path) -> None:
    """Somebody may have put the key there."""
    for value, reason in [("te-secret", "No such file or directory"), (str(tmp_path), "Is a dir")]:
        with pytest.raises(SettingsError, match=f"^GATEWAY_API_KEYS_FILE: .* {reason}") as told:
            open_from(API_KEYS_FILE=value)
        assert value not in str(told.value)
