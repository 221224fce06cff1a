"""Runs an ONNX file on the fake CUDA and tells what happened: `run_session(plan) -> Outcome`.

`session_program` is the half of it that runs inside.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.fake_cuda.report import Report
from tests.fake_cuda.run import in_fake_cuda

# The dtype and the shape of each input; what they hold does not matter, nothing is computed.
Feeds = Mapping[str, tuple[str, Sequence[int]]]


@dataclass(frozen=True, slots=True)
class Plan:
    """A session and what it runs.

    rounds            the runs of a round go at once, each on a thread, which later rounds use again
    provider_options  of the CUDA provider
    session_options   attributes of SessionOptions, such as enable_mem_pattern
    configuration     entries of its configuration, such as session.disable_cpu_ep_fallback
    """

    model: Path
    rounds: Sequence[Sequence[Feeds]] = ()
    provider_options: Mapping[str, str] = field(default_factory=dict)
    session_options: Mapping[str, bool | int] = field(default_factory=dict)
    configuration: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Round:
    """What the device did during a round, and what its runs raised, "" where they did not."""

    report: Report
    errors: list[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a plan.

    error      what the making of the session raised, or ""
    providers  of the session, in its order
    loaded     until the session was made
    nodes      after the optimizations of onnxruntime: operator and provider of each that ran
    logged     what onnxruntime wrote to stdout and stderr
    """

    error: str
    providers: list[str]
    loaded: Report
    rounds: list[Round]
    nodes: list[tuple[str, str]]
    logged: str


def run_session(plan: Plan, without: Sequence[str] = (), **settings: str) -> Outcome:
    """What happened, with libraries and settings as of `in_fake_cuda`."""
    described = json.dumps(asdict(plan), default=str)
    finished = in_fake_cuda(
        "-m", "tests.fake_cuda.session_program", described, without=without, **settings
    )
    assert finished.status == 0, finished.errors
    *printed, last = finished.printed.splitlines()
    fields = json.loads(last)
    return Outcome(
        error=fields["error"],
        providers=fields["providers"],
        loaded=Report.from_json(fields["loaded"]),
        rounds=[Round(Report.from_json(of["report"]), of["errors"]) for of in fields["rounds"]],
        nodes=[(operator, provider) for operator, provider in fields["nodes"]],
        logged="\n".join([*printed, finished.errors]),
    )
