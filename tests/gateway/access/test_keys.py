"""API keys, known by their digests."""

import hashlib

import pytest

from gateway.access.keys import check_key
from gateway.errors import Unauthorized
from gateway.settings import Settings


def read_keys(text: str) -> frozenset[bytes]:
    """The digests of keys between commas."""
    return Settings.from_environ({"GATEWAY_API_KEYS": text}).api_keys


DIGESTS = read_keys("KEY,, second ,schlüssel")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer KEY",
        "bearer   KEY",
        "KEY",
        "Bearer second",
        "Bearer " + "schlüssel".encode().decode("latin-1"),
    ],
)
def test_known_keys_pass_with_or_without_a_scheme(header: str) -> None:
    check_key(header, DIGESTS)


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
        check_key(header, DIGESTS)


def test_a_digest_stands_for_its_key() -> None:
    entry = f"sha256:{hashlib.sha256(b'KEY').hexdigest()}"
    check_key("KEY", read_keys(entry))
    with pytest.raises(Unauthorized):
        check_key(entry, read_keys(entry))


def test_only_digests_are_kept() -> None:
    assert {32} == {len(digest) for digest in DIGESTS}
