"""Every instrument of the gateway, declared in one place.

Labels come from closed sets: route names, statuses, served models, error codes.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

T = TypeVar("T", Counter, Histogram, Gauge)

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
        self.requests = self._by_labels(
            Counter, "gateway_requests", "Answered requests.", ("route", "status")
        )
        self.duration = self._by_labels(
            Histogram,
            "gateway_request_duration_seconds",
            "From the head of the request to the end of the answer.",
            ("route",),
            buckets=DURATION_BUCKETS,
        )
        self.in_flight = Gauge(
            "gateway_in_flight_requests",
            "Requests received and unanswered.",
            registry=self.registry,
        )
        self.texts = self._by_labels(Counter, "gateway_texts", "Texts embedded.", ("model",))
        self.tokens = self._by_labels(
            Counter,
            "gateway_tokens",
            "Tokens fed to the encoder, as reported in usage.",
            ("model",),
        )
        self.waiting_tokens = self._by_labels(
            Gauge,
            "gateway_waiting_tokens",
            "Estimated tokens of chunks that wait for their turn at Triton.",
            ("lane",),
        )
        self.upstream_errors = self._by_labels(
            Counter,
            "gateway_upstream_errors",
            "Calls that failed at Triton or for want of capacity.",
            ("code",),
        )

    def _by_labels(
        self, kind: type[T], name: str, meaning: str, labels: tuple[str, ...], **options: Any
    ) -> Callable[..., T]:
        """A function of the labels' values."""
        instrument = kind(name, meaning, labels, registry=self.registry, **options)
        return cache(instrument.labels)

    def render(self) -> bytes:
        """All instruments in Prometheus' text format."""
        for lane, tokens in self._read_waiting_tokens().items():
            self.waiting_tokens(lane).set(tokens)
        return generate_latest(self.registry)
