"""Settings from the environment; documented == real."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.__main__ import _parser
from gateway.settings import VARIABLES, Settings, SettingsError

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"
KEY_DIGEST = hashlib.sha256(b"KEY").digest()


def test_defaults_are_loopback_with_a_key_required() -> None:
    settings = Settings.from_environ({"GATEWAY_API_KEYS": "KEY"})
    assert (settings.host, settings.port, settings.auth) == ("127.0.0.1", 8000, "required")


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("GATEWAY_HOST", "0.0.0.0", "0.0.0.0"),  # noqa: S104
        ("GATEWAY_PORT", "9000", 9000),
        ("GATEWAY_PORT", "0", 0),
        ("GATEWAY_OPERATIONS_PORT", "9090", 9090),
        ("GATEWAY_PORT", "65535", 65535),
        ("GATEWAY_TRITON_ADDRESS", "dns:///triton:8001", "dns:///triton:8001"),
        ("GATEWAY_TIMEOUT_SECONDS", "2.5", 2.5),
        ("GATEWAY_DRAIN_SECONDS", "0", 0.0),
        ("GATEWAY_BINARY_BIT_ORDER", "lsb", "lsb"),
        ("GATEWAY_ALLOWED_ORIGINS", "*", ("*",)),
        ("GATEWAY_ALLOWED_ORIGINS", "https://A.org/, null", ("https://a.org", "null")),
        ("GATEWAY_ALLOWED_ORIGINS", ",http://[::1]:80,,", ("http://[::1]:80",)),
        ("GATEWAY_ALLOWED_ORIGINS", "app://obsidian.md", ("app://obsidian.md",)),
        ("GATEWAY_MAX_TEXTS", "", 256),
    ],
)
def test_a_variable_sets_its_field(variable: str, text: str, value: object) -> None:
    settings = Settings.from_environ({"GATEWAY_AUTH": "off", variable: text})
    assert value == getattr(settings, variable.removeprefix("GATEWAY_").lower())


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("GATEWAY_PORT", "http"),
        ("GATEWAY_PORT", "65536"),
        ("GATEWAY_PORT", "-1"),
        ("GATEWAY_OPERATIONS_PORT", "65536"),
        ("GATEWAY_MAX_TEXTS", "1.5"),
        ("GATEWAY_MAX_TEXTS", "-1"),
        ("GATEWAY_TIMEOUT_SECONDS", "0"),
        ("GATEWAY_DRAIN_SECONDS", "-1"),
        ("GATEWAY_TIMEOUT_SECONDS", "nan"),
        ("GATEWAY_TIMEOUT_SECONDS", "inf"),
        ("GATEWAY_AUTH", "no"),
        ("GATEWAY_LOG_LEVEL", "loud"),
        ("GATEWAY_ALLOWED_ORIGINS", "a.org"),
        ("GATEWAY_ALLOWED_ORIGINS", "https://a.org/page"),
        ("GATEWAY_ALLOWED_ORIGINS", "https://*.a.org"),
        ("GATEWAY_ALLOWED_ORIGINS", "https://a.org https://b.org"),
        ("GATEWAY_ALLOWED_ORIGINS", "https://user@a.org"),
        ("GATEWAY_ALLOWED_ORIGINS", "https://"),
        ("GATEWAY_ALLOWED_ORIGINS", "**"),
    ],
)
def test_a_wrong_value_is_told_with_its_variable(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        Settings.from_environ({"GATEWAY_AUTH": "off"} | {variable: text})


@pytest.mark.parametrize("environ", [{}, {"GATEWAY_API_KEYS": " , "}], ids=["absent", "empty"])
def test_without_a_key_it_refuses_to_start(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="no API key is configured"):
        Settings.from_environ(environ)


def test_keys_never_show() -> None:
    settings = Settings.from_environ({"GATEWAY_API_KEYS": "KEY"})
    assert KEY_DIGEST in settings.api_keys
    assert "KEY" not in repr(settings).replace("api_keys_file", "")
    assert str(KEY_DIGEST) not in repr(settings)


def test_a_flag_wins_over_its_variable() -> None:
    environ = {"GATEWAY_AUTH": "off", "GATEWAY_PORT": "1"}
    assert Settings.from_environ(environ, port=2).port == 2


def test_every_variable_is_in_the_help() -> None:
    text = _parser().format_help()
    assert [variable.name for variable in VARIABLES.values() if variable.name not in text] == []


def render_row(variable: Any) -> str:
    default = f"`{variable.default}`" if variable.default else "none"
    choices = f" One of {', '.join(f'`{choice}`' for choice in variable.choices)}."
    return (
        f"| `{variable.name}` | {default} | {variable.why}{choices if variable.choices else ''} |"
    )


def test_the_documented_settings_are_the_real_ones() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if re.match(r"\| `GATEWAY_", line)]
    assert [render_row(variable) for variable in VARIABLES.values()] == rows
