"""The models Triton serves, under the names clients send, and whether they are ready."""

import asyncio
import json
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.errors import (
    DimensionsNotSupported,
    InvalidDimensions,
    TritonUnavailable,
    UnknownModel,
    UpstreamError,
)
from gateway.inference.embedder import Embedder, Ensemble, Repository

# Seconds between two looks at Triton: short while it comes up, so that recovery is quick.
INTERVAL_NOT_READY_SECONDS = 0.5
INTERVAL_READY_SECONDS = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One ensemble, as its own parameters describe it.

    ensemble    Triton's name
    dimensions  D, the native size
    max_length  tokens of the longest text, special tokens included
    matryoshka  whether `dimensions` below D are allowed
    created     unix seconds when this gateway first saw the model
    """

    id: str
    ensemble: str
    aliases: tuple[str, ...]
    dimensions: int
    max_length: int
    matryoshka: bool
    revision: str
    created: int

    @property
    def owner(self) -> str:
        """The organisation in the id, or this project for an id without one."""
        organisation, slash, _ = self.id.partition("/")
        return organisation if slash else "triton-embeddings"

    def resolve_dimensions(self, asked: int | None) -> int:
        """The dimensions of an answer: the native size, or what was asked for if allowed.

        Raises: InvalidDimensions, DimensionsNotSupported.
        """
        if asked is None:
            return self.dimensions
        if not 1 <= asked <= self.dimensions:
            raise InvalidDimensions(asked, self.dimensions)
        if asked != self.dimensions and not self.matryoshka:
            raise DimensionsNotSupported(self.id, self.dimensions)
        return asked


def describe(ensemble: Ensemble, created: int) -> ServedModel:
    """The model of a ready ensemble.

    Raises: KeyError, TypeError, ValueError if a parameter is missing or malformed.
    """
    parameters = ensemble.parameters
    return ServedModel(
        id=parameters["served_name"],
        ensemble=ensemble.name,
        aliases=tuple(str(alias) for alias in json.loads(parameters.get("aliases", "[]"))),
        dimensions=int(parameters["dimensions"]),
        max_length=int(parameters["max_length"]),
        matryoshka=parameters["matryoshka"] == "true",
        revision=parameters.get("revision", ""),
        created=created,
    )


class Catalogue:
    """What can be served now, refreshed from Triton.

    A model that was seen once stays known while Triton is away or loads it again:
    its callers are told to retry, not that it does not exist.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._lock = asyncio.Lock()
        self._models: dict[str, ServedModel] = {}  # by ensemble
        self._names: dict[str, ServedModel] = {}  # by everything a client may send
        self._pending: dict[str, str] = {}  # ensemble → why it cannot serve
        self._refreshed_at = float("-inf")
        self._trouble = "Triton was not asked yet"

    @property
    def models(self) -> list[ServedModel]:
        """Every known model, by id."""
        return sorted(self._models.values(), key=lambda model: model.id)

    @property
    def trouble(self) -> str:
        """Why not everything can be served; empty when ready."""
        return self._trouble

    def find(self, name: str) -> ServedModel | None:
        """The model of this id, id without organisation, or alias; None if it is not served.

        Raises: TritonUnavailable while that is not known.
        """
        model = self._names.get(name)
        if model is None and (not self._names or self._is_pending(name)):
            raise TritonUnavailable("the models are not loaded yet")
        return model

    def resolve(self, name: str) -> ServedModel:
        """The model a client means.

        Raises: TritonUnavailable, UnknownModel.
        """
        model = self.find(name)
        if model is None:
            raise UnknownModel(name, (model.id for model in self._models.values()))
        return model

    def _is_pending(self, name: str) -> bool:
        ensemble = name.replace("/", "--")
        return any(
            ensemble == other.split("--")[-1] or ensemble == other for other in self._pending
        )

    async def refresh(self, max_age_seconds: float = 0.0) -> None:
        """Ask Triton, unless the last answer is younger than `max_age_seconds`."""
        async with self._lock:
            if time.monotonic() - self._refreshed_at < max_age_seconds:
                return
            try:
                self._update(await self._embedder.repository())
            except UpstreamError as error:
                self._note(error.message)
            self._refreshed_at = time.monotonic()

    async def watch(self) -> None:
        """Refresh for ever."""
        while True:
            await self.refresh()
            await asyncio.sleep(
                INTERVAL_NOT_READY_SECONDS if self._trouble else INTERVAL_READY_SECONDS
            )

    def _update(self, repository: Repository) -> None:
        self._pending = {}
        models = [self._read(ensemble) for ensemble in repository.ensembles]
        self._models = {model.ensemble: model for model in models if model is not None}
        self._names = _index(self.models)
        self._note(self._find_trouble(repository))

    def _read(self, ensemble: Ensemble) -> ServedModel | None:
        known = self._models.get(ensemble.name)
        if not ensemble.is_ready:
            self._pending[ensemble.name] = "is not ready"
            return known
        if "served_name" not in ensemble.parameters:
            return None  # a step of an ensemble, or a model of somebody else
        if ensemble.mismatch:
            self._pending[ensemble.name] = f"does not fit this gateway: {ensemble.mismatch}"
            return None
        try:
            return describe(ensemble, known.created if known else int(time.time()))
        except (KeyError, TypeError, ValueError) as error:
            self._pending[ensemble.name] = f"has unreadable parameters: {error!r}"
            return None

    def _find_trouble(self, repository: Repository) -> str:
        if self._pending:
            return "; ".join(f"{name} {why}" for name, why in sorted(self._pending.items()))
        if not repository.is_ready:
            return "Triton is not ready"
        return "" if self._models else "Triton serves no model of ours"

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:
            if trouble:
                logger.warning("not ready: %s", trouble)
            else:
                logger.info("ready: %s", ", ".join(model.id for model in self.models))
        self._trouble = trouble


def _index(models: Iterable[ServedModel]) -> dict[str, ServedModel]:
    """Name → model; an id wins over a bare name, a bare name over an alias."""
    models = list(models)
    names = {alias: model for model in models for alias in model.aliases}
    names.update({model.id.split("/")[-1]: model for model in models})
    names.update({model.id: model for model in models})
    return names
