"""Alerts and panels ask for metrics and labels that the real gateway and the real Triton tell."""

import json
import urllib.request
from pathlib import Path

import pytest
import trustme

from gateway.local.triton_process import LOOPBACK
from tests.monitoring.fleet import Gateway, certify, environment, key_table
from tests.monitoring.known import ELSEWHERE, told_by, unknown_in
from tests.monitoring.panels import ROWS
from tests.monitoring.rules import alerts
from tests.triton.conftest import RunTriton

pytestmark = pytest.mark.triton

EXPRESSIONS = {name: rule["expr"] for name, rule in alerts().items()} | {
    f"{row.title}: {panel.title}": " or ".join(f"({one})" for one in panel.targets.values())
    for row in ROWS
    for panel in row.panels
}


@pytest.fixture(scope="module")
def known(
    toy_repository: Path, run_triton: RunTriton, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, set[str]]:
    """What a gateway with everything on tells, and a Triton."""
    triton = run_triton(toy_repository)
    folder = tmp_path_factory.mktemp("watched")
    certify(folder, trustme.CA(), days=1)
    (folder / "usage").mkdir()
    (folder / "keys.toml").write_text(key_table())
    address = f"{LOOPBACK}:{triton.grpc_port}"
    nobody = f"redis://{LOOPBACK}:1"
    gateway = Gateway(environment(folder, address, nobody, "memory"), folder / "gateway.log")
    gateway.start()
    try:
        return told_by(
            _read(f"{gateway.url}/metrics"),
            _read(f"http://{LOOPBACK}:{triton.metrics_port}/metrics"),
        )
    finally:
        gateway.kill()


def _read(url: str) -> str:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - ours
        return answer.read().decode()


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_it_asks_for_what_exists(name: str, known: dict[str, set[str]]) -> None:
    expression = EXPRESSIONS[name].replace("$__rate_interval", "1m")
    assert unknown_in(expression, known) == set()


def test_what_does_not_exist_would_be_seen(known: dict[str, set[str]]) -> None:
    asked = 'sum by (colour) (gateway_ready{shape="round"}) > gateway_happy'
    assert unknown_in(asked, known) == {"colour", "gateway_ready{shape}", "gateway_happy"}


def test_what_is_not_seen_here_is_told_by_neither(known: dict[str, set[str]]) -> None:
    assert {name for name in ELSEWHERE if not name.startswith(("nv_gpu_", "kube_"))} == {"up"}
    assert json.dumps(sorted(known)).count("nv_inference") > 5
