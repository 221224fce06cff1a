"""The models Triton serves, under the names clients send, and whether they are ready."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Literal, cast, get_args

import orjson

from gateway.access.keys import Caller
from gateway.errors import (
    AmbiguousModel,
    Forbidden,
    TritonUnavailable,
    UnknownModel,
    UpstreamError,
)
from gateway.inference.embedder import CPU_TOKENS, Embedder, Ensemble, Repository, State
from gateway.inference.names import (
    NameIndex,
    check_name,
    folder_of_step,
    names_of,
)
from gateway.inference.prompts import Prompts, read_prompts
from gateway.inference.revisions import Shares

Allowed = Callable[[str], bool]  # whether a caller may use the model of an id
Similarity = Literal["cosine", "dot", "euclidean", "manhattan"]

NEVER = float("-inf")
# Seconds between two looks for a name that nobody knows.
LOOK_AGAIN_SECONDS = 0.1
# Seconds for which a model that was unloaded may be one that is being replaced.
REPLACING_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One ensemble, as its own parameters describe it.

    ensemble    Triton's name
    dimensions  D, the native size
    max_length  tokens of the longest text, special tokens included
    matryoshka  whether `dimensions` below D are allowed
    created     unix seconds when this gateway first saw the model
    similarity  that the checkpoint is meant for; None if it does not say
    micro_batch_tokens  that its encoder takes at a time
    edition     the version of its ensemble; empty where Triton does not say
    tritons     that serve it so
    """

    id: str
    ensemble: str
    aliases: tuple[str, ...]
    dimensions: int
    max_length: int
    matryoshka: bool
    revision: str
    created: int
    prompts: Prompts
    similarity: Similarity | None
    micro_batch_tokens: int = CPU_TOKENS
    edition: str = ""
    tritons: int = 1

    @property
    def owner(self) -> str:
        """The organisation in the id, or this project for an id without one."""
        organisation, slash, _ = self.id.partition("/")
        return organisation if slash else "triton-embeddings"

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that the model answers to, the id first."""
        return names_of(self.id, self.aliases)


def describe(ensemble: Ensemble, created: int) -> ServedModel:
    """The model of a ready ensemble.

    Raises: KeyError, TypeError, ValueError if a parameter is missing or malformed.
    """
    parameters = ensemble.parameters
    model = ServedModel(
        id=parameters["served_name"],
        ensemble=ensemble.name,
        aliases=_read_aliases(parameters.get("aliases", "[]")),
        dimensions=int(parameters["dimensions"]),
        max_length=int(parameters["max_length"]),
        matryoshka=parameters["matryoshka"] == "true",
        revision=parameters.get("revision", ""),
        created=created,
        prompts=read_prompts(parameters),
        similarity=_read_similarity(parameters.get("similarity", "")),
        micro_batch_tokens=int(parameters.get("micro_batch_tokens", CPU_TOKENS)),
        edition=ensemble.edition,
        tritons=ensemble.tritons,
    )
    for name in model.names:
        check_name(name)
    return model


def _read_aliases(text: str) -> tuple[str, ...]:
    aliases = orjson.loads(text)
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise ValueError("aliases are no array of names")
    return tuple(aliases)


def _read_similarity(text: str) -> Similarity | None:
    if text and text not in get_args(Similarity):
        raise ValueError(f"similarity is none of {', '.join(get_args(Similarity))}")
    return cast(Similarity, text) if text else None


class Catalogue:
    """What can be served now, refreshed from Triton.

    A model that was seen once stays known while Triton is away or loads it again:
    its callers are told to retry, not that it does not exist.

    clock   seconds
    shares  which part of the calls each revision of a model gets
    """

    def __init__(
        self,
        embedder: Embedder,
        clock: Callable[[], float] = time.monotonic,
        shares: Shares = Shares(),  # noqa: B008 - never changes
    ) -> None:
        self._embedder = embedder
        self._shares = shares
        self._clock = clock
        self._lock = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._models: dict[str, ServedModel] = {}  # by ensemble, of its main edition
        self._editions: dict[str, list[ServedModel]] = {}  # of those that have several
        self._index: NameIndex[ServedModel] = NameIndex()
        self._pending: dict[str, str] = {}  # id or ensemble of ours → why it cannot serve
        self._pending_names: set[str] = set()  # that those answer to, as far as is known
        self._is_unread = False  # whether one of them may answer to any name
        self._unloaded: dict[str, tuple[ServedModel, float]] = {}  # by ensemble, and when
        self._asked_at = NEVER
        self._is_away = True
        self._away = "was not asked yet"

    @property
    def models(self) -> list[ServedModel]:
        """Every known model, by id."""
        return sorted(self._models.values(), key=lambda model: model.id)

    def troubles(self) -> dict[str, str]:
        """What of ours does not come, and why; Triton itself, where nothing is known of it."""
        if self._pending or self._models:
            return dict(self._pending)
        return {"Triton": self._away if self._is_away else "serves no model of ours"}

    def tritons(self) -> Counter[tuple[str, ...]]:
        """How many Tritons serve each revision of each model, by its id and the revision."""
        found: Counter[tuple[str, ...]] = Counter()
        for model in [] if self._is_away else self.models:
            if model.id not in self._pending:
                for one in self._editions.get(model.ensemble, [model]):
                    found[model.id, one.revision] += one.tritons
        return found

    def names_of(self, model: ServedModel) -> list[str]:
        """The names that mean this model and no other."""
        return self._index.names_of(model)

    async def find(self, name: str, allowed: Allowed = lambda _: True) -> ServedModel | None:
        """The model of this id, short name or alias; None if it is not served.

        Among several, those that the caller may use count.

        Raises: AmbiguousModel, Forbidden; TritonUnavailable while that is not known.
        """
        if self._asked_at == NEVER:  # a gateway that has just started
            await self.refresh(max_age_seconds=float("inf"))
        models = self._index.find(name)
        if not models and not self._is_away:  # it may have come since Triton was asked
            await self._look_again()
            models = self._index.find(name)
        if models and not (models := [model for model in models if allowed(model.id)]):
            raise Forbidden(name)
        if len(models) > 1:
            raise AmbiguousModel(name, (model.id for model in models))
        if not models and self._may_come(name):
            raise TritonUnavailable("the models are not loaded yet")
        return models[0] if models else None

    async def resolve(self, name: str, allowed: Allowed = lambda _: True) -> ServedModel:
        """The model a client means; he is told of no other than those that he may use.

        Raises: AmbiguousModel, Forbidden, TritonUnavailable, UnknownModel.
        """
        model = await self.find(name, allowed)
        if model is None:
            raise UnknownModel(name, filter(allowed, (model.id for model in self.models)))
        return model

    def choose(self, model: ServedModel, caller: Caller) -> ServedModel:
        """The edition of a model that a call of this caller gets."""
        editions = self._editions.get(model.ensemble)
        return self._shares.choose(editions, caller) if editions else model

    def shares_of(self, model: ServedModel) -> list[tuple[ServedModel, float]]:
        """Every edition of a model, and which part of the callers gets it."""
        editions = self._editions.get(model.ensemble, [model])
        weights = self._shares.weights(editions)
        return [(one, weight / sum(weights)) for one, weight in zip(editions, weights, strict=True)]

    def find_edition(self, model: ServedModel, edition: str) -> ServedModel:
        """The model as it gave an answer; without a revision if that is newer than the last look.

        edition  that the answer names
        """
        if model.edition in ("", edition):
            return model
        editions = self._editions.get(model.ensemble, ())
        unknown = replace(model, revision="", edition=edition)
        return next((one for one in editions if one.edition == edition), unknown)

    def _may_come(self, name: str) -> bool:
        """Whether a model may answer to this name that cannot be asked now."""
        if self._is_away or not self._models or self._is_unread or name in self._pending_names:
            return True
        return any(name in model.names for model, _ in self._unloaded.values())

    async def _look_again(self) -> None:
        """Asks Triton after now; all who look at a time share an answer."""
        looked_at = self._clock()
        async with self._looking:
            if self._asked_at < looked_at:
                await asyncio.sleep(self._asked_at + LOOK_AGAIN_SECONDS - self._clock())
                await self.refresh()

    async def refresh(self, max_age_seconds: float = 0.0) -> None:
        """Ask Triton, unless it was asked less than `max_age_seconds` ago."""
        async with self._lock:
            now = self._clock()
            if now - self._asked_at < max_age_seconds:
                return
            try:
                self._update(await self._embedder.repository())
                self._is_away = False
            except UpstreamError as error:
                self._is_away, self._away = True, f"does not answer: {error.message}"
            self._asked_at = now

    def _update(self, repository: Repository) -> None:
        self._pending, self._pending_names, self._is_unread = {}, set(), False
        steps = _steps_of_ours(repository.ensembles)
        found = [
            self._read_editions(list(group), steps[name])
            for name, group in groupby(repository.ensembles, attrgetter("name"))
        ]
        models = self._drop_twins([self._main(editions) for editions in found if editions])
        self._note_unloaded({model.ensemble for model in models})
        self._models = {model.ensemble: model for model in models}
        self._editions = {editions[0].ensemble: editions for editions in found if len(editions) > 1}
        self._index = NameIndex(self.models)

    def _read_editions(
        self, editions: Sequence[Ensemble], steps: Collection[State]
    ) -> list[ServedModel]:
        """The models of one name; those that are amiss are no trouble beside one that is not."""
        before = dict(self._pending), set(self._pending_names), self._is_unread
        models = [model for one in editions if (model := self._read(one, steps)) is not None]
        if models and len(editions) > 1:
            self._pending, self._pending_names, self._is_unread = before
        return models

    def _main(self, editions: Sequence[ServedModel]) -> ServedModel:
        """The one that most callers get."""
        weights = self._shares.weights(editions)
        return editions[weights.index(max(weights))]

    def _read(self, ensemble: Ensemble, steps: Collection[State]) -> ServedModel | None:
        """The model of an ensemble of ours, as it is or was; None for all others.

        steps  states of those that carry its name
        """
        known = self._models.get(ensemble.name)
        if ensemble.state != "ready":
            if not (known or steps) or not _is_coming(ensemble.state, steps):
                return None
            self._pend(known.id if known else ensemble.name, "is not ready", known)
            return known
        if "served_name" not in ensemble.parameters:
            return None  # a step, or a model of somebody else
        try:
            model = describe(ensemble, known.created if known else int(time.time()))
        except (KeyError, TypeError, ValueError) as error:
            self._pend(ensemble.name, f"has unreadable parameters: {error!r}", None)
            return None
        if ensemble.mismatch:
            self._pend(ensemble.name, f"does not fit this gateway: {ensemble.mismatch}", model)
            return None
        return model

    def _pend(self, name: str, why: str, model: ServedModel | None) -> None:
        self._pending[name] = why
        self._is_unread |= model is None
        self._pending_names.update(model.names if model else ())

    def _drop_twins(self, models: list[ServedModel]) -> list[ServedModel]:
        """Those whose id is theirs alone: nobody can say which of two is meant."""
        counts = Counter(model.id for model in models)
        for model in models:
            if counts[model.id] > 1:
                self._pend(model.ensemble, f"shares its id {model.id} with another", model)
        return [model for model in models if counts[model.id] == 1]

    def _note_unloaded(self, ensembles: Collection[str]) -> None:
        """Remembers for a while what is not there any more: it may come back as another edition."""
        now = self._clock()
        gone = {name: (model, now) for name, model in self._models.items()}
        self._unloaded = {
            name: (model, unloaded_at)
            for name, (model, unloaded_at) in (gone | self._unloaded).items()
            if name not in ensembles and now - unloaded_at < REPLACING_SECONDS
        }


def _steps_of_ours(ensembles: Iterable[Ensemble]) -> defaultdict[str, list[State]]:
    """Ensemble → states of the steps that carry its name, by which it is known as ours."""
    steps: defaultdict[str, list[State]] = defaultdict(list)
    for ensemble in ensembles:
        if folder := folder_of_step(ensemble.name):
            steps[folder].append(ensemble.state)
    return steps


def _is_coming(state: State, steps: Collection[State]) -> bool:
    """Whether an ensemble that does not answer will, or failed, rather than was not wanted."""
    if state == "idle":
        return "ready" in steps or "loading" in steps
    return state == "loading" or "loading" in steps
