"""Every setting of the gateway can be set by a value, and what the chart sets starts one."""

from pathlib import Path
from typing import Any

import pytest

from gateway.access.key_file import parse_keys
from gateway.settings import VARIABLES, Settings
from tests.helm.chart import Values, changed, environment, pick, render, worked
from tests.helm.schema import KEYS, SECRETS, camel_case

TEXT = "/a/file"
# Settings that are text, but not any text.
WRITTEN = {
    "triton_address": "10.0.0.1:8001,[::1]:8001",
    "revision_shares": "toy=0123ab:90,4567cd:10; other=89ef:1",
}


def example(name: str) -> Any:
    """A value of a setting that is not its default."""
    variable = VARIABLES[name]
    if variable.choices:
        return next(word for word in variable.choices if word != variable.default)
    if isinstance(variable.default, tuple):
        return ["https://a.example.org", "https://b.example.org"]
    if isinstance(variable.default, str):
        return WRITTEN.get(name, TEXT)
    if isinstance(variable.default, float):
        return 12.5
    return 1234 + len(name) if "port" in name else 134_217_728  # which Go prints as 1.3e+08


CONFIGURED = [name for name in VARIABLES if name not in KEYS + SECRETS]


def all_settings() -> Values:
    config = {camel_case(name): example(name) for name in CONFIGURED}
    changes = {
        "gateway.config": config,
        "gateway.secretConfig": secret("redis_url"),
        "gateway.extraVolumes": [{"name": "files", "secret": {"secretName": "files"}}],
        "gateway.extraVolumeMounts": [{"name": "files", "mountPath": "/a"}],
    }
    return changed(worked("cpu"), changes)


def secret(*names: str) -> Values:
    return {camel_case(name): {"name": "settings", "key": name} for name in names}


@pytest.mark.parametrize("name", CONFIGURED)
def test_a_setting_arrives_as_it_was_written(name: str) -> None:
    variable = VARIABLES[name]
    given = environment(render(all_settings()))[variable.name]
    written = example(name)
    assert variable.parse(given) == (tuple(written) if isinstance(written, list) else written)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_setting_comes_from_a_secret(name: str) -> None:
    values = changed(worked("cpu"), {"gateway.secretConfig": secret(*SECRETS)})
    given = environment(render(values))[VARIABLES[name].name]
    assert given == str({"secretKeyRef": {"name": "settings", "key": name}})


def test_keys_come_as_a_file_that_is_watched() -> None:
    """A file mounted by subPath would never change."""
    spec = pick(render(worked("cpu")), "Deployment", "-gateway")["spec"]["template"]["spec"]
    assert environment(render(worked("cpu")))["GATEWAY_API_KEYS_FILE"].endswith("/keys.toml")
    (mount,) = (one for one in spec["containers"][0]["volumeMounts"] if one["name"] == "keys")
    assert "subPath" not in mount
    assert {"name": "keys", "secret": {"secretName": "e-triton-embeddings-keys"}} in spec["volumes"]


def test_a_key_file_of_ones_own_keeps_its_name() -> None:
    auth = {"existingSecret": "mine", "file": "keys.txt"}
    manifests = render(changed(worked("cpu"), {"gateway.auth": auth}))
    assert environment(manifests)["GATEWAY_API_KEYS_FILE"].endswith("/keys.txt")
    assert "Secret" not in [one["kind"] for one in manifests]


def test_nobody_is_asked_for_a_key_if_auth_is_off() -> None:
    given = environment(render(changed(worked("cpu"), {"gateway.auth": {"mode": "off"}})))
    assert given["GATEWAY_AUTH"] == "off"
    assert "GATEWAY_API_KEYS_FILE" not in given


def test_keys_of_the_values_are_read_by_the_gateway() -> None:
    digest = "sha256:" + "0" * 64
    full = {
        "name": "a.b",
        "digest": digest,
        "models": ["org/a", "org/b"],
        "requestsPerMinute": 7,
        "tokensPerMinute": 123_456_789,
        "expires": "2027-01-01T12:00:00+02:00",
    }
    short = {"name": "c", "digest": "sha256:" + "1" * 64, "expires": "2027-01-01"}
    manifests = render(changed(worked("cpu"), {"gateway.auth": {"keys": [full, short]}}))
    text = pick(manifests, "Secret")["stringData"]["keys.toml"]
    first, second = parse_keys(Path("keys.toml"), text)
    assert (first.name, second.name) == ("a.b", "c")
    assert first.requests_per_minute == 7
    assert first.tokens_per_minute == 123_456_789


@pytest.mark.parametrize("name", ["cpu", "gpu", "autoscaling"])
def test_the_gateway_takes_what_the_chart_gives(name: str) -> None:
    settings = Settings.from_environ(environment(render(worked(name))))
    assert settings.triton_address == "dns:///e-triton-embeddings-triton-headless:8001"
    assert (settings.host, settings.port, settings.operations_port) == ("0.0.0.0", 8000, 9090)  # noqa: S104
    assert settings.drain_seconds == 10
    assert settings.timeout_seconds == 50  # what the grace of the pods is computed from
