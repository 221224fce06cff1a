"""What the users of a load test do, how often, and what they may expect. Pure.

A paced user begins a call every so often, whatever the answers take; one that is not paced calls
again as soon as it is answered. Latency is judged on paced users, throughput on the others.
"""

from dataclasses import dataclass

from load_tests.payloads import CORPUS, QUESTIONS, Lengths


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of user.

    calls_per_second  of one user; 0 for as fast as it is answered
    p99_milliseconds  above it the load test fails
    """

    name: str
    texts_per_call: int
    lengths: Lengths
    encoding_formats: tuple[str, ...] = ("float",)
    calls_per_second: float = 0.0
    p99_milliseconds: float = 10_000.0


@dataclass(frozen=True, slots=True)
class Record:
    """One call: answered when, in seconds since 1970, among how many users of its kind."""

    scenario: str
    users: int
    answered: float
    milliseconds: float
    failed: bool


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("interactive", 1, QUESTIONS, ("base64",), 2.0, 500.0),
        Scenario("bulk", 64, CORPUS, ("base64",)),
        Scenario("formats", 8, CORPUS, ("float", "base64", "int8", "binary"), 0.5, 2_000.0),
    )
}
LEAST_REACHED = 0.95  # of the rate asked for; below it the queue hides in the users
MOST_FAILED = 0.0  # of the calls
