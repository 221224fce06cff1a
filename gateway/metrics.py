"""Every instrument of the gateway, declared in one place.

Labels come from closed sets: route names, statuses, served models, error codes.
"""

from collections.abc import Callable, Mapping
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

# Seconds; from a cached single text to the default timeout.
DURATION_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)


class Metrics:
    """The instruments of one app, on a registry of their own.

    Those with labels are functions of them that remember what they gave: Prometheus' own `labels`
    renders the values anew and takes a lock.

    waiting_tokens  tells the tokens that wait, by lane
    """

    def __init__(self, waiting_tokens: Callable[[], Mapping[str, int]]) -> None:
        self.registry = CollectorRegistry()
        self._read_waiting_tokens = waiting_tokens
        self.requests = cache(
            Counter(
                "gateway_requests",
                "Answered requests.",
                ("route", "status"),
                registry=self.registry,
            ).labels
        )
        self.duration = cache(
            Histogram(
                "gateway_request_duration_seconds",
                "From the head of the request to the end of the answer.",
                ("route",),
                buckets=DURATION_BUCKETS,
                registry=self.registry,
            ).labels
        )
        self.in_flight = Gauge(
            "gateway_in_flight_requests",
            "Requests received and unanswered.",
            registry=self.registry,
        )
        self.texts = cache(
            Counter("gateway_texts", "Texts embedded.", ("model",), registry=self.registry).labels
        )
        self.tokens = cache(
            Counter(
                "gateway_tokens",
                "Tokens fed to the encoder, as reported in usage.",
                ("model",),
                registry=self.registry,
            ).labels
        )
        self.waiting_tokens = Gauge(
            "gateway_waiting_tokens",
            "Estimated tokens of chunks that wait for their turn at Triton.",
            ("lane",),
            registry=self.registry,
        )
        self.upstream_errors = cache(
            Counter(
                "gateway_upstream_errors",
                "Calls that failed at Triton or for want of capacity.",
                ("code",),
                registry=self.registry,
            ).labels
        )

    def render(self) -> bytes:
        """All instruments in Prometheus' text format."""
        for lane, tokens in self._read_waiting_tokens().items():
            self.waiting_tokens.labels(lane).set(tokens)
        return generate_latest(self.registry)
