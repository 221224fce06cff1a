"""What an autoscaler is judged by: its turns, how late it is, what it wastes, who waits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np

from tests.scaling.load import Call
from tests.scaling.simulation import Outcome

# Share of its capacity that a pod should be busy, as the chart has it.
TARGET = 0.7
# Seconds after which somebody who asks a question has waited too long.
LATE_SECONDS = 2.0
HEAD = (
    "| scenario | pods, most | turns | capacity after, s | pod-minutes | above, below need"
    " | calls | refused | not answered | p50, p99 of calls, s | p99 of questions, s | late |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The figures of one scenario.

    turns           changes of direction
    capacity_after  seconds from the moment of too much work until there were pods for it, the worst
    above, below    pod-minutes, against one who knows the load and has pods at once
    refusals        answers 429 and 503, most of which callers tried again
    unanswered      calls that were given up
    """

    name: str
    most: int
    turns: int
    capacity_after: float
    pod_minutes: float
    above: float
    below: float
    calls: int
    refusals: int
    unanswered: int
    call_seconds: Sequence[float]
    question_seconds: Sequence[float]

    def row(self) -> str:
        late = sum(seconds > LATE_SECONDS for seconds in self.question_seconds)
        share = 100 * late / max(len(self.question_seconds), 1)
        return (
            f"| {self.name} | {self.most} | {self.turns} | {self.capacity_after:.0f}"
            f" | {self.pod_minutes:.0f} | {self.above:.0f}, {self.below:.0f}"
            f" | {self.calls} | {self.refusals} | {self.unanswered}"
            f" | {_at(self.call_seconds, 50):.1f}, {_at(self.call_seconds, 99):.1f}"
            f" | {_at(self.question_seconds, 99):.1f} | {share:.1f} % |"
        )


def judge(outcome: Outcome) -> Verdict:
    """Work is what was offered; that of a job, which takes what it gets, is not."""
    samples, spec = outcome.samples, outcome.manifest["spec"]
    needs = [
        needed(outcome, sample.at, spec["minReplicaCount"], spec["maxReplicaCount"])
        for sample in samples
    ]
    calls = [call for call in outcome.calls if not call.is_question]
    questions = [call for call in outcome.calls if call.is_question]
    spans = [later.at - one.at for one, later in pairwise(samples)]
    rows = list(zip(samples, needs, spans, strict=False))
    return Verdict(
        name=outcome.scenario.name,
        most=max(sample.pods for sample in samples),
        turns=count_turns(sample.pods for sample in samples),
        capacity_after=worst_lack(outcome),
        pod_minutes=sum(sample.pods * span for sample, _, span in rows) / 60,
        above=sum(max(sample.pods - need, 0) * span for sample, need, span in rows) / 60,
        below=sum(max(need - sample.ready, 0) * span for sample, need, span in rows) / 60,
        calls=len(outcome.calls),
        refusals=sum(call.refusals for call in outcome.calls),
        unanswered=sum(call.status != 200 for call in outcome.calls),
        call_seconds=_answered(calls),
        question_seconds=_answered(questions),
    )


def needed(outcome: Outcome, at: float, least: int, most: int) -> int:
    """Pods for the load of a moment."""
    scenario = outcome.scenario
    worth = 0.0 if scenario.is_cached else scenario.pods_worth(at / 60)
    return min(max(ceil(worth / TARGET), least), most)


def count_turns(pods: Iterable[int]) -> int:
    """How often the number of pods went the other way."""
    steps = [later - one for one, later in pairwise(pods) if later != one]
    return sum((one > 0) != (later > 0) for one, later in pairwise(steps))


def worst_lack(outcome: Outcome) -> float:
    """The longest time in which ready pods could not do what was offered and could be done."""
    scenario, longest, began = outcome.scenario, 0.0, 0.0
    lacks = False
    most = outcome.manifest["spec"]["maxReplicaCount"]
    for sample in outcome.samples:
        worth = 0.0 if scenario.is_cached else min(scenario.pods_worth(sample.at / 60), most)
        if worth > sample.ready and not lacks:
            began = sample.at
        if lacks := worth > sample.ready:
            longest = max(longest, sample.at - began)
    return longest


def offered(calls: Sequence[Call], begin: float, end: float) -> float:
    """Tokens a second of calls that were begun in that time."""
    return sum(call.tokens for call in calls if begin <= call.at < end) / (end - begin)


def _answered(calls: Iterable[Call]) -> list[float]:
    return [call.seconds for call in calls if call.status == 200]


def _at(seconds: Sequence[float], percent: float) -> float:
    return float(np.percentile(seconds, percent)) if seconds else float("nan")
