"""The seam between REST and inference: what the endpoints ask for and what comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.access.ledger import Entry
from gateway.telemetry.timeline import Timeline

NumberFormat = Literal["float", "float16", "int8", "uint8", "binary", "ubinary"]
Truncation = Literal["end", "start", "none"]
# ready: it answers; loading: it will, or Triton says why not; unloaded: on purpose; idle: nobody
# asked for it yet.
State = Literal["ready", "loading", "unloaded", "idle"]
# ready: it is asked; loading: it answers, but not for all its models; silent: it does not answer;
# away: it cannot be reached; draining: its address is gone, it finishes what it has.
TritonState = Literal["ready", "loading", "silent", "away", "draining"]

CPU_TOKENS = 128  # of a micro-batch of a model that does not say


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """One REST call, ready for inference; nothing in it is optional any more.

    model            id of the model
    ensemble         Triton's name of it
    texts            N texts in UTF-8, prompt included
    token_estimates  N guesses at what each text costs, in tokens
    number_formats       the arrays wanted
    dimensions       d as the caller asks for it, for the model to allow; None for its native size
    entry            of this call in the ledger
    timeline         of this call, for the moments of its chunks
    micro_batch_tokens   that the model's encoder takes at a time
    edition          of the model that should answer; empty if any will do
    """

    model: str
    ensemble: str
    texts: Sequence[bytes]
    token_estimates: Sequence[int]
    number_formats: tuple[NumberFormat, ...]
    dimensions: int | None
    normalized: bool
    truncation: Truncation
    entry: Entry
    timeline: Timeline = field(default_factory=lambda: Timeline(""))
    micro_batch_tokens: int = CPU_TOKENS
    edition: str = ""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """What inference gave, in the order of the texts.

    arrays        number_format → (N, d), or (N, ⌈d/8⌉) uint8 and int8 for the packed ones
    token_counts  (N,) int32, tokens fed to the encoder, special tokens included
    dimensions    d
    edition       of the model that gave all of them: the version of its ensemble
    is_cached     whether Triton was not asked: all of them were computed for others before
    """

    arrays: Mapping[NumberFormat, NDArray[Any]]
    token_counts: NDArray[np.int32]
    dimensions: int
    edition: str
    is_cached: bool = False


@dataclass(frozen=True, slots=True)
class Ensemble:
    """What Triton says about one model, which may be a step of an ensemble, or not ours.

    parameters  of its config.pbtxt; empty while the model is not ready, and of steps
    mismatch    what in its tensors is not as expected, empty if nothing
    edition     the version that answers; empty where that is not known
    tritons     that serve it so
    takes_formats  whether it can be told which formats to compute
    """

    name: str
    state: State = "ready"
    parameters: Mapping[str, str] = field(default_factory=dict)
    mismatch: str = ""
    edition: str = ""
    tritons: int = 1
    takes_formats: bool = False

    def of_edition(self, edition: str) -> "Ensemble":
        return replace(self, edition=edition) if edition else self


@dataclass(frozen=True, slots=True)
class Repository:
    """Triton's models at one moment."""

    ensembles: Sequence[Ensemble]


@dataclass(frozen=True, slots=True)
class TritonStatus:
    """One Triton, for people.

    why                 what is wrong, empty if nothing
    models              names that clients send → edition, of those that answer
    outstanding_tokens  estimated, that it has now
    window_tokens       that it may have, of all models together
    silent_seconds      since its last answer
    """

    address: str
    state: TritonState
    why: str
    models: Mapping[str, str]
    outstanding_tokens: int
    window_tokens: int
    silent_seconds: float


class Embedder(Protocol):
    """The one seam; TritonEmbedder in production, a fake in tests."""

    async def embed(self, call: EmbeddingCall) -> Embeddings:
        """The embeddings of one call, or a GatewayError.

        First it takes room in the ledger for what is left to do.
        Cancelled, it drops what has not begun; what has begun stays in the ledger until its end.
        """
        ...

    async def repository(self) -> Repository:
        """What can be served now.

        Raises: UpstreamError if Triton does not answer.
        """
        ...

    async def probe(self, ensemble: str) -> None:
        """Embeds one short text, past all lanes.

        Raises: UpstreamError.
        """
        ...

    def is_busy(self, ensemble: str) -> bool:
        """Whether Triton has work of this model, probes aside."""
        ...

    def waiting_tokens(self) -> Mapping[tuple[str, ...], int]:
        """Estimated tokens that wait for their turn at Triton, by lane."""
        ...

    def triton_tokens(self) -> Mapping[tuple[str, ...], int]:
        """Estimated tokens that Triton has, by lane."""
        ...

    def capacity_tokens(self) -> Mapping[tuple[str, ...], int]:
        """Estimated tokens that Triton would be given now, by model and lane."""
        ...

    def embedded_tokens(self) -> Mapping[tuple[str, ...], int]:
        """Tokens that Triton has answered for, by model; also those whose caller had left."""
        ...

    def retries(self) -> Mapping[tuple[str, ...], int]:
        """Chunks that a Triton has lost, by reason, and `sent` to another or `refused`."""
        ...

    def triton_requests(self) -> Mapping[tuple[str, ...], int]:
        """Requests for embeddings to Tritons, by model and what was in them: one chunk `alone`,
        some that `shared` it, or one `apart` after a shared one had failed."""
        ...

    def ready_tritons(self) -> int:
        """How many Tritons are asked, for some model at least."""
        ...

    def status(self) -> Sequence[TritonStatus]:
        """Each Triton, by address."""
        ...

    async def close(self) -> None: ...
