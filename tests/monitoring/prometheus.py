"""A real Prometheus for which time runs faster: all durations of the rules are divided by a factor.

It scrapes every second, which is as fast as a busy machine answers; thresholds stay.
"""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from gateway.local.triton_process import LOOPBACK, free_ports
from tests.monitoring import promtool
from tests.prometheus import find, shorter, shorter_ranges
from tests.serving import PATIENCE_SECONDS

SCRAPE_SECONDS = 1


def faster_rules(spec: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """The groups with shorter windows and waits."""
    groups = []
    for group in spec["groups"]:
        rules = [
            rule
            | {"expr": shorter_ranges(rule["expr"], factor)}
            | ({"for": shorter(rule["for"], factor)} if "for" in rule else {})
            for rule in group["rules"]
        ]
        groups.append(group | {"rules": rules})
    return {"groups": groups}


@dataclass(frozen=True)
class Target:
    """One endpoint, with the labels that a ServiceMonitor would have it get; none are its own."""

    port: int
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    url: str

    def firing(self) -> dict[str, dict[str, str]]:
        """Name of each alert that fires → its annotations."""
        told = self._ask("/api/v1/alerts")["alerts"]
        return {
            one["labels"]["alertname"]: one["annotations"]
            for one in told
            if one["state"] == "firing"
        }

    def series(
        self, expression: str, began: float, ended: float, step: float
    ) -> list[tuple[dict[str, str], list[float], list[float]]]:
        """Labels, moments and values of each."""
        found = self._ask(
            "/api/v1/query_range", query=expression, start=began, end=ended, step=step
        )["result"]
        return [
            (
                one["metric"],
                [float(moment) for moment, _ in one["values"]],
                [float(value) for _, value in one["values"]],
            )
            for one in found
        ]

    def up(self) -> int:
        """How many targets answer."""
        found = self._ask("/api/v1/query", query="sum(up)")["result"]
        return int(found[0]["value"][1]) if found else 0

    def _ask(self, path: str, **parameters: Any) -> dict[str, Any]:
        answer = httpx.get(self.url + path, params=parameters, timeout=PATIENCE_SECONDS)
        told = answer.json()
        assert told["status"] == "success", told
        return told["data"]


@contextmanager
def running(
    folder: Path, targets: Sequence[Target], spec: Mapping[str, Any], factor: float
) -> Iterator[Prometheus]:
    """A Prometheus on loopback that scrapes the targets by the rules; it ends with the block."""
    (port,) = free_ports(1)
    rules = promtool.write(folder / "rules.yaml", faster_rules(spec, factor))
    config = {
        "global": {
            "scrape_interval": f"{SCRAPE_SECONDS}s",
            "scrape_timeout": f"{SCRAPE_SECONDS}s",
            "evaluation_interval": "1s",
        },
        "rule_files": [str(rules)],
        "scrape_configs": [
            {
                "job_name": target.labels.get("pod", f"others-{number}"),
                "honor_labels": not target.labels,  # as that of kube-state-metrics
                "static_configs": [
                    {"targets": [f"{LOOPBACK}:{target.port}"], "labels": dict(target.labels)}
                ],
            }
            for number, target in enumerate(targets)
        ],
    }
    words = [
        find("prometheus"),
        f"--config.file={promtool.write(folder / 'prometheus.yaml', config)}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address={LOOPBACK}:{port}",
        "--query.lookback-delta=5s",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
    prometheus = Prometheus(f"http://{LOOPBACK}:{port}")
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _is_ready(prometheus):
            assert process.poll() is None, (folder / "prometheus.log").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield prometheus
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def _is_ready(prometheus: Prometheus) -> bool:
    try:
        return httpx.get(f"{prometheus.url}/-/ready").status_code == 200
    except httpx.HTTPError:
        return False
