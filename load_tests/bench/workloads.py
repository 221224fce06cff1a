"""What the callers of a benchmark do, and what comes out of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from load_tests.payloads import CORPUS, LONG, QUESTIONS, Lengths


@dataclass(frozen=True, slots=True)
class Callers:
    """Several callers that do the same.

    calls_per_second  of all of them together; 0 for each as fast as it is answered
    """

    name: str
    callers: int
    texts_per_call: int
    lengths: Lengths
    encoding_format: str = "float"
    calls_per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class Workload:
    """Groups of callers at once. The first is what is measured, the others end with it."""

    name: str
    groups: tuple[Callers, ...]
    only_ours: bool = False  # asks for what the peers do not have


@dataclass(frozen=True, slots=True)
class Call:
    """One answered call; the latency counts from when it was due."""

    group: str
    due_seconds: float
    answered_seconds: float
    texts: Sequence[str]
    failed: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """What one group of callers got out of one run."""

    group: str
    texts: int
    tokens: int
    failures: int
    texts_per_second: float
    tokens_per_second: float
    p50_milliseconds: float
    p95_milliseconds: float
    p99_milliseconds: float


BULK = Callers("bulk", 4, 64, CORPUS)
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("single-question", (Callers("single", 1, 1, QUESTIONS),)),
        Workload("single", (Callers("single", 1, 1, CORPUS),)),
        Workload("interactive", (Callers("interactive", 16, 1, CORPUS),)),
        Workload("bulk", (BULK,)),
        Workload("mixed-paced", (BULK, Callers("query", 1, 1, QUESTIONS, calls_per_second=20))),
        Workload("mixed-closed", (BULK, Callers("query", 4, 1, QUESTIONS))),
        Workload("long", (Callers("long", 4, 16, LONG),)),
        Workload("base64", (Callers("bulk", 4, 64, CORPUS, "base64"),), only_ours=True),
        Workload("binary", (Callers("bulk", 4, 64, CORPUS, "binary"),), only_ours=True),
        Workload(
            "unequal",
            (Callers("bulk-256", 1, 256, CORPUS), Callers("bulk-16", 1, 16, CORPUS)),
            only_ours=True,
        ),
    )
}


def summarize(group: str, calls: Sequence[Call], token_counts: Sequence[int]) -> Figures:
    """The figures of one group; the rate counts until its last answer.

    calls         of the whole run
    token_counts  tokens of each answered call of the group, in order
    """
    own = [call for call in calls if call.group == group]
    answered = [call for call in own if not call.failed]
    texts = sum(len(call.texts) for call in answered)
    seconds = max((call.answered_seconds for call in answered), default=0.0)
    latencies = [1e3 * (call.answered_seconds - call.due_seconds) for call in answered]
    p50, p95, p99 = np.percentile(latencies or [np.nan], [50, 95, 99]).tolist()
    tokens = sum(token_counts)
    return Figures(
        group=group,
        texts=texts,
        tokens=tokens,
        failures=len(own) - len(answered),
        texts_per_second=texts / seconds if seconds else 0.0,
        tokens_per_second=tokens / seconds if seconds else 0.0,
        p50_milliseconds=p50,
        p95_milliseconds=p95,
        p99_milliseconds=p99,
    )
