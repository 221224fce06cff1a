"""Whether a call would succeed now, of every model that this gateway knows."""

import asyncio
import logging

from gateway.inference.catalogue import Catalogue
from gateway.inference.embedder import Embedder
from gateway.inference.health import Health

# Seconds between two looks, and for which Triton's list of models is good: short while something
# is amiss, so that recovery is quick.
LOOK_SECONDS = 0.5
LIST_SECONDS = 2.0

logger = logging.getLogger(__name__)


class Readiness:
    """What Triton lists, and what came of the calls of each model."""

    def __init__(self, catalogue: Catalogue, health: Health, embedder: Embedder) -> None:
        self._catalogue = catalogue
        self._health = health
        self._embedder = embedder
        self._told: str | None = None  # of troubles, in the log

    def troubles(self) -> dict[str, str]:
        """Model → why a call of it would fail; empty when all is well."""
        ill = {
            model.id: trouble
            for model in self._catalogue.models
            if (trouble := self._health.trouble(model.ensemble))
        }
        return ill | self._catalogue.troubles()

    def ill_tritons(self) -> dict[str, str]:
        """Address → why a Triton is not asked, or not for all of its models."""
        return {
            one.address: f"{one.state}: {one.why}" if one.why else one.state
            for one in self._embedder.status()
            if one.state != "ready"
        }

    def silent_seconds(self) -> float:
        """Since the last answer of the model, of those known, that is silent longest; 0 of none."""
        ensembles = [model.ensemble for model in self._catalogue.models]
        return max(map(self._health.silent_seconds, ensembles), default=0.0)

    async def look(self, max_age_seconds: float = LOOK_SECONDS) -> dict[str, str]:
        """The troubles as of now, of a list no older than `max_age_seconds`."""
        await self._catalogue.refresh(max_age_seconds)
        ensembles = [model.ensemble for model in self._catalogue.models]
        await self._health.probe(self._embedder, ensembles)
        troubles = self.troubles()
        self._tell(describe(troubles))
        return troubles

    async def watch(self) -> None:
        """Look for ever, whatever happens meanwhile."""
        while True:
            try:
                await self.look(LOOK_SECONDS if self.troubles() else LIST_SECONDS)
            except Exception:
                logger.exception("readiness could not be looked up, trying again")
            await asyncio.sleep(LOOK_SECONDS)

    def _tell(self, trouble: str) -> None:
        if trouble == self._told:
            return
        if trouble:
            logger.warning("not ready: %s", trouble)
        else:
            logger.info("ready: %s", ", ".join(model.id for model in self._catalogue.models))
        self._told = trouble


def describe(troubles: dict[str, str]) -> str:
    """One line for people."""
    return "; ".join(f"{name} {why}" for name, why in sorted(troubles.items()))
