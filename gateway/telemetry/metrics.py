"""Every instrument of the gateway, declared in one place.

Labels come from closed sets: route names, statuses, served models, error codes, names of known API
keys.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from gateway.telemetry.histograms import Histograms
from gateway.telemetry.readings import Reading, Readings
from gateway.telemetry.timeline import Timeline

T = TypeVar("T", Counter, Histogram, Gauge)

# Seconds; from a cached single text to the default timeout.
DURATION_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
# Seconds; parsing one text takes a tenth of a millisecond.
STAGE_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, *DURATION_BUCKETS)
# From a question to more than the default settings let through.
TEXTS_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TOKENS_BUCKETS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)

# Told as 0 before there is one: where a counter appears with the first, nothing has increased.
UPSTREAM_CODES = ("internal_error", "overloaded", "service_unavailable", "timeout")
NO_RETRIES = {
    (reason, result): 0 for reason in ("silent", "unavailable") for result in ("sent", "refused")
}


class Metrics:
    """The instruments of one app, on a registry of their own.

    Those with labels are functions of them that remember what they gave: Prometheus' own `labels`
    renders the values anew and takes a lock.

    in_flight  requests received and unanswered, for whoever serves them to count

    held_bytes      tells the bytes held, by key
    held_tokens     tells the tokens held, by key and stage
    waiting_tokens  tells the tokens that wait, by lane
    triton_tokens   tells the tokens that Triton has, by lane
    capacity_tokens  tells the tokens that Triton would be given now, by model and lane
    embedded_tokens  tells the tokens that Triton has answered for, by model
    triton_up       tells whether a Triton is asked, by its address
    triton_outstanding_tokens  tells the tokens that each Triton has
    retries         tells the chunks that a Triton has lost, by reason and what became of them
    triton_requests  tells the requests that chunks went in, by model and how
    key_file_valid  tells whether the keys are those of the key file, key_file_loaded since when
    """

    def __init__(
        self,
        *,
        held_bytes: Reading,
        held_tokens: Reading,
        waiting_tokens: Reading,
        triton_tokens: Reading,
        capacity_tokens: Reading = dict,
        embedded_tokens: Reading = dict,
        triton_up: Reading = dict,
        triton_outstanding_tokens: Reading = dict,
        retries: Reading = dict,
        triton_requests: Reading = dict,
        key_file_valid: Callable[[], bool] = lambda: True,
        key_file_loaded: Callable[[], float] = float,
    ) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._triton_up = triton_up
        self._declare_requests()
        self._declare_work()
        self._declare_keys(key_file_valid, key_file_loaded)
        self._declare_cache()
        self._declare_stages()
        for readings in (
            Readings("gauge", held_bytes, "gateway_held_bytes",
                     "Bytes of bodies, texts and embeddings of calls in flight.", "key",
                     returns_to_zero=True),
            Readings("gauge", held_tokens, "gateway_held_tokens",
                     "Estimated tokens that wait here or that Triton has, whoever is left to hear.",
                     "key", "stage", returns_to_zero=True),
            Readings("gauge", waiting_tokens, "gateway_waiting_tokens",
                     "Estimated tokens of chunks that wait for their turn at Triton.", "lane",
                     returns_to_zero=True),
            Readings("gauge", triton_tokens, "gateway_triton_tokens",
                     "Estimated tokens of chunks that Triton has.", "lane", returns_to_zero=True),
            Readings("gauge", capacity_tokens, "gateway_capacity_tokens",
                     "Estimated tokens that the Tritons would be given now.", "model", "lane"),
            Readings("counter", embedded_tokens, "gateway_embedded_tokens",
                     "Tokens that Tritons embedded, counted as each chunk is answered.", "model"),
            Readings("gauge", triton_up, "gateway_triton_up",
                     "Whether a Triton is asked, for all of its models.", "triton"),
            Readings("gauge", triton_outstanding_tokens, "gateway_triton_outstanding_tokens",
                     "Estimated tokens that one Triton has.", "triton"),
            Readings("counter", lambda: NO_RETRIES | dict(retries()), "gateway_retries",
                     "Chunks that a Triton has lost, sent to another one or refused.",
                     "reason", "result"),
            Readings("counter", triton_requests, "gateway_triton_requests",
                     "Requests that chunks went in: alone, several that shared one, or apart.",
                     "model", "kind"),
        ):  # fmt: skip
            self.registry.register(readings)

    def _declare_requests(self) -> None:
        self.requests = self._by_labels(
            Counter, "gateway_requests", "Answered requests.", ("route", "status")
        )
        self.key_requests = self._by_labels(
            Counter, "gateway_key_requests", "Answered requests of known keys.", ("key", "status")
        )
        self.duration = self._by_labels(
            Histogram,
            "gateway_request_duration_seconds",
            "From the head of the request to the end of the answer.",
            ("route",),
            buckets=DURATION_BUCKETS,
        )
        self.in_flight = 0
        Gauge(
            "gateway_in_flight_requests",
            "Requests received and unanswered.",
            registry=self.registry,
        ).set_function(lambda: self.in_flight)
        self.upstream_errors = self._by_labels(
            Counter,
            "gateway_upstream_errors",
            "Calls that failed at Triton or for want of capacity.",
            ("code",),
        )
        for code in UPSTREAM_CODES:
            self.upstream_errors(code)
        self.rejected = self._by_labels(
            Counter,
            "gateway_rejected",
            "Requests answered with an error, by its code.",
            ("reason", "model"),
        )

    def _declare_work(self) -> None:
        self.texts = self._by_labels(Counter, "gateway_texts", "Texts embedded.", ("model",))
        self.tokens = self._by_labels(
            Counter,
            "gateway_tokens",
            "Tokens fed to the encoder, as reported in usage.",
            ("model",),
        )
        self.usage_calls, self.usage_texts, self.usage_tokens = (
            self._by_labels(Counter, f"gateway_usage_{what}", meaning, ("key", "model"))
            for what, meaning in (
                ("calls", "Calls answered with embeddings."),
                ("texts", "Texts of these calls."),
                ("tokens", "Tokens of these calls, as reported in usage."),
            )
        )

    def _declare_keys(self, is_valid: Callable[[], bool], loaded_at: Callable[[], float]) -> None:
        for name, meaning, read in (
            (
                "valid",
                "Whether the keys that are let in are those of the key file.",
                is_valid,
            ),
            ("loaded_timestamp_seconds", "When the key file was taken up last.", loaded_at),
        ):
            gauge = Gauge(f"gateway_key_file_{name}", meaning, registry=self.registry)
            gauge.set_function(read)
        self.rate_limited = self._by_labels(
            Counter,
            "gateway_rate_limited",
            "Calls that were above a limit of their key.",
            ("key", "limit"),
        )
        self.rate_limit_errors = Counter(
            "gateway_rate_limit_errors",
            "Calls that Redis did not count, and corrections that it did not take.",
            registry=self.registry,
        )
        self.rate_limits_shared = Gauge(
            "gateway_rate_limits_shared",
            "Whether Redis counts for the limits of keys, rather than this process alone.",
            registry=self.registry,
        )

    def _declare_cache(self) -> None:
        self.cache_hits = self._by_labels(
            Counter, "gateway_cache_hits", "Texts that were not computed again.", ("model",)
        )
        self.cache_misses = self._by_labels(
            Counter, "gateway_cache_misses", "Texts that had to be computed.", ("model",)
        )
        self.cache_errors = Counter(
            "gateway_cache_errors",
            "Look-ups and records of calls that Redis did not answer.",
            registry=self.registry,
        )
        self.cache_bytes = Gauge(
            "gateway_cache_bytes",
            "Held by the cache in the memory of this process.",
            registry=self.registry,
        )

    def _declare_stages(self) -> None:
        self._stage = Histograms(
            self.registry,
            "gateway_stage_seconds",
            "Stages of calls for embeddings, one after the other.",
            ("stage", "model"),
            STAGE_BUCKETS,
        )
        self._call_seconds = Histograms(
            self.registry,
            "gateway_call_seconds",
            "From the head of a call to the end of its answer, of calls answered with embeddings.",
            ("lane", "model"),
            DURATION_BUCKETS,
        )
        self._texts_per_call = Histograms(
            self.registry, "gateway_texts_per_call", "Texts of a call.", ("model",), TEXTS_BUCKETS
        )
        self._chunk_seconds = Histograms(
            self.registry,
            "gateway_chunk_seconds",
            "From sending a chunk to Triton to its answer.",
            ("model", "triton"),
            DURATION_BUCKETS,
        )
        self._chunk_tokens = Histograms(
            self.registry,
            "gateway_chunk_tokens",
            "Tokens of a chunk.",
            ("model", "triton"),
            TOKENS_BUCKETS,
        )

    def _by_labels(
        self, kind: type[T], name: str, meaning: str, labels: tuple[str, ...], **options: Any
    ) -> Callable[..., T]:
        """A function of the labels' values."""
        instrument = kind(name, meaning, labels, registry=self.registry, **options)
        return cache(instrument.labels)

    def observe(self, timeline: Timeline, seconds: float) -> None:
        """What one request took, when it is over."""
        model = timeline.model
        if timeline.error:
            self.rejected(timeline.error, model).inc()
        if not model:
            return
        self._texts_per_call.observe(timeline.texts, model)
        if timeline.dimensions and not timeline.error:
            self._call_seconds.observe(seconds, timeline.lane, model)
        for stage, seconds in timeline.seconds().items():
            self._stage.observe(seconds, stage, model)
        for inference in timeline.inferences:
            if inference.ended:
                seconds = inference.ended - inference.began
                self._chunk_seconds.observe(seconds, model, inference.triton)
                self._chunk_tokens.observe(inference.tokens, model, inference.triton)

    def watch_service(self, is_ready: Callable[[], bool], model_tritons: Reading) -> None:
        """Shows whether calls are answered, and which Tritons serve which revision."""
        Gauge(
            "gateway_ready",
            "Whether a call of every known model would succeed here.",
            registry=self.registry,
        ).set_function(is_ready)
        self.registry.register(
            Readings("gauge", model_tritons, "gateway_model_tritons",
                     "Tritons that serve a revision of a model.", "model", "revision")
        )  # fmt: skip

    def watch_certificate(self, read_expiry: Callable[[], float]) -> None:
        """Shows when it expires."""
        Gauge(
            "gateway_tls_certificate_expiry_timestamp_seconds",
            "End of the certificate that new connections get, in seconds since 1970.",
            registry=self.registry,
        ).set_function(read_expiry)

    def render(self) -> bytes:
        """All instruments in Prometheus' text format."""
        tritons = self._triton_up()
        for histograms in (self._chunk_seconds, self._chunk_tokens):  # pods come and go for years
            histograms.keep(lambda labels: labels[1:] in tritons)
        return generate_latest(self.registry)
