"""API keys, known by their digests."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from gateway.access.keys import ANYBODYS_KEY, Key, Keys, unnamed_key
from gateway.errors import KeyExpired, Unauthorized
from gateway.settings import Settings


def read_keys(text: str) -> Keys:
    """The keys between commas."""
    return Keys(map(unnamed_key, Settings.from_environ({"GATEWAY_API_KEYS": text}).api_keys))


def digest_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


KEYS = read_keys("KEY,, second ,schlüssel")


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Bearer KEY", "KEY"),
        ("bearer   KEY", "KEY"),
        ("KEY", "KEY"),
        ("Bearer second", "second"),
        ("Bearer " + "schlüssel".encode().decode("latin-1"), "schlüssel"),
    ],
)
def test_known_keys_pass_with_or_without_a_scheme(header: str, key: str) -> None:
    assert unnamed_key(digest_of(key)) == KEYS.check(header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic KEY",
        "Bearer WRONG",
        "Bearer Bearer KEY",
    ],
)
def test_everything_else_is_refused(header: str | None) -> None:
    with pytest.raises(Unauthorized):
        KEYS.check(header)


def test_a_digest_stands_for_its_key() -> None:
    entry = f"sha256:{hashlib.sha256(b'KEY').hexdigest()}"
    read_keys(entry).check("KEY")
    with pytest.raises(Unauthorized):
        read_keys(entry).check(entry)


def test_a_key_without_a_name_is_called_by_its_digest() -> None:
    digest = digest_of("KEY")
    assert digest.hex()[:8] == KEYS.check("KEY").name == KEYS.name_of(digest)
    assert ANYBODYS_KEY.name == KEYS.name_of(b"")


def test_keys_are_replaced_as_a_whole() -> None:
    keys = read_keys("KEY")
    keys.replace([Key("new", digest_of("other"))])
    assert keys.check("other").name == "new"
    with pytest.raises(Unauthorized):
        keys.check("KEY")
    assert keys.name_of(digest_of("KEY")) == digest_of("KEY").hex()[:8]


def test_a_key_may_use_the_models_of_its_list() -> None:
    assert Key("all").may_use("org/model")
    assert Key("one", models=frozenset({"org/model"})).may_use("org/model")
    assert not Key("one", models=frozenset({"org/model"})).may_use("org/other")


def test_a_key_expires_when_it_says() -> None:
    now = expires = datetime(2027, 1, 1, tzinfo=UTC)
    keys = Keys([Key("soon", digest_of("KEY"), expires=expires)], now=lambda: now)
    with pytest.raises(KeyExpired, match=r"expired at 2027-01-01T00:00:00\+00:00"):
        keys.check("KEY")
    now -= timedelta(microseconds=1)  # a clock that is set back lets it in again
    assert keys.check("KEY").name == "soon"


def test_only_digests_are_kept_and_they_do_not_show() -> None:
    key = KEYS.check("KEY")
    assert len(key.digest) == 32
    assert repr(key) == repr(key).replace("KEY", "").replace(str(key.digest), "")
