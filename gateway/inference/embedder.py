"""The seam between REST and inference: what the endpoints ask for and what comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.access.ledger import Entry

NumberFormat = Literal["float", "float16", "int8", "uint8", "binary", "ubinary"]
Truncation = Literal["end", "start", "none"]


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """One REST call, ready for inference; nothing in it is optional any more.

    ensemble         Triton's name of the model
    texts            N texts in UTF-8, prompt included
    token_estimates  N guesses at what each text costs, in tokens; admitted by the entry
    number_formats       the arrays wanted
    dimensions       d, the native size when nothing is to be cut
    entry            of this call in the ledger
    """

    ensemble: str
    texts: Sequence[bytes]
    token_estimates: Sequence[int]
    number_formats: tuple[NumberFormat, ...]
    dimensions: int
    normalized: bool
    truncation: Truncation
    entry: Entry
    request_id: str = ""


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
        """The embeddings of one call, or a GatewayError.

        Cancelled, it drops what has not begun; what has begun stays in the ledger until its end.
        """
        ...

    async def repository(self) -> Repository:
        """What can be served now.

        Raises: UpstreamError if Triton does not answer.
        """
        ...

    def waiting_tokens(self) -> Mapping[tuple[str, ...], int]:
        """Estimated tokens that wait for their turn at Triton, by lane."""
        ...

    def triton_tokens(self) -> Mapping[tuple[str, ...], int]:
        """Estimated tokens that Triton has, by lane."""
        ...

    async def close(self) -> None: ...
