"""Unit tests of promtool, written from the cases."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.monitoring.cases import Case, Series
from tests.monitoring.rules import NAMESPACE, RELEASE
from tests.prometheus import find

AFTER_MINUTES = 150  # windows and `for` are shorter


def run(*words: str) -> None:
    """Raises: AssertionError with what promtool says."""
    done = subprocess.run([find("promtool"), *words], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout + done.stderr


def unit_tests(rules: Path, name: str, case: Case, alert: dict[str, Any]) -> dict[str, Any]:
    """The alert fires when it must and resolves; and does not fire just below, or for others."""
    hold = _minutes(alert.get("for", "0m"))
    fired = {
        "exp_labels": {"severity": alert["labels"]["severity"], "namespace": NAMESPACE}
        | {"release": RELEASE, **case.labels},
        "exp_annotations": {
            "summary": case.summary,
            "runbook": alert["annotations"]["runbook"],
        },
    }
    fires = {
        "interval": "1m",
        "input_series": [
            _input(one, ("bad", case.minutes + 1), ("good", AFTER_MINUTES)) for one in case.series
        ],
        "alert_rule_test": [
            *([_at(name, max(hold - 1, 0))] if hold else []),
            _at(name, case.minutes, fired),
            _at(name, case.minutes + AFTER_MINUTES),
        ],
    }
    minutes = case.minutes + AFTER_MINUTES
    others = [
        {**_input(one, ("bad", minutes)), "series": _series(one, labels)}
        for one in case.series
        for labels in _of_others(one)
    ]
    holds = {
        "interval": "1m",
        "input_series": [_input(one, ("below", minutes)) for one in case.series] + others,
        "alert_rule_test": [_at(name, case.minutes), _at(name, minutes - 1)],
    }
    return {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [fires, holds]}


def write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


def _at(name: str, minutes: int, *alerts: dict[str, Any]) -> dict[str, Any]:
    return {"eval_time": f"{minutes}m", "alertname": name, "exp_alerts": list(alerts)}


def _minutes(duration: str) -> int:
    return int(duration[:-1]) * {"m": 1, "h": 60}[duration[-1]]


def _input(one: Series, *phases: Any) -> dict[str, str]:
    return {"series": _series(one, dict(one.labels)), "values": one.notation(*phases)}


def _series(one: Series, labels: dict[str, str]) -> str:
    return one.metric + "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def _of_others(one: Series) -> list[dict[str, str]]:
    """The labels of the same series in another namespace, and of another release in ours."""
    other = {name: value.replace(RELEASE, f"x-{RELEASE}") for name, value in one.labels.items()}
    longer = {name: value.replace(RELEASE, f"{RELEASE}-x") for name, value in one.labels.items()}
    return [dict(one.labels) | {"namespace": f"{NAMESPACE}-2"}, other, longer]
