"""The seam between REST and inference: what the endpoints ask for and what comes back."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

NumberFormat = Literal["float", "float16", "int8", "uint8", "binary", "ubinary"]
Truncation = Literal["end", "start", "none"]


class Caller(NamedTuple):
    """Whom a call is accounted to.

    key         digest of the API key, empty if everybody is let in
    connection  of the client, as long as it lasts
    """

    key: bytes = b""
    connection: Hashable = None


ANYBODY = Caller()


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """One REST call, ready for inference; nothing in it is optional any more.

    ensemble         Triton's name of the model
    texts            N texts in UTF-8, prompt included
    token_estimates  N guesses from byte length, at most the model's maximum length
    number_formats       the arrays wanted
    dimensions       d, the native size when nothing is to be cut
    deadline         moment on the event loop's clock, seconds
    """

    ensemble: str
    texts: Sequence[bytes]
    token_estimates: Sequence[int]
    number_formats: tuple[NumberFormat, ...]
    dimensions: int
    normalized: bool
    truncation: Truncation
    deadline: float
    request_id: str = ""
    caller: Caller = ANYBODY


@dataclass(frozen=True, slots=True)
class Embeddings:
    """What inference gave, in the order of the texts.

    arrays        number_format → (N, d), or (N, ⌈d/8⌉) uint8 and int8 for the packed ones
    token_counts  (N,) int32, tokens fed to the encoder, special tokens included
    """

    arrays: Mapping[NumberFormat, NDArray[Any]]
    token_counts: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """What Triton says about one model; steps of an ensemble carry no `served_name`.

    parameters  of its config.pbtxt; empty while the model is not ready
    mismatch    what in its tensors is not as expected, empty if nothing
    """

    name: str
    is_ready: bool = True
    parameters: Mapping[str, str] = field(default_factory=dict)
    mismatch: str = ""


@dataclass(frozen=True, slots=True)
class Repository:
    """Triton's models at one moment."""

    is_ready: bool
    ensembles: Sequence[Ensemble]


class Embedder(Protocol):
    """The one seam; TritonEmbedder in production, a fake in tests."""

    async def embed(self, call: EmbeddingCall) -> Embeddings:
        """The embeddings of one call, or a GatewayError."""
        ...

    async def repository(self) -> Repository:
        """What can be served now.

        Raises: UpstreamError if Triton does not answer.
        """
        ...

    def waiting_tokens(self) -> Mapping[str, int]:
        """Estimated tokens that wait for their turn at Triton, by lane."""
        ...

    async def close(self) -> None: ...
