"""The Tritons: who they are, and which of them a chunk may go to."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from gateway.errors import InferenceFailed, ModelReplaced, TritonUnavailable, UpstreamError
from gateway.inference.channels import Channels
from gateway.inference.lanes import Lanes
from gateway.inference.replica import Replica
from gateway.inference.retries import RetryBudget
from gateway.inference.rpc_errors import is_of_one_model
from gateway.inference.sharing import Sharing
from gateway.inference.windows import FindWindows, Window, Windows, Wish

T = TypeVar("T")

BULK, INTERACTIVE = 0, 1  # as in Replica.windows_of
# Tritons that one chunk may lose: a text that kills one must not go through them all.
MOST_LOST = 2
# Editions whose prompts are remembered.
MOST_PROMPTS = 1024

logger = logging.getLogger(__name__)


class Fleet:
    """All Tritons of one gateway.

    replicas  by address, also those that only finish what they have
    lanes     by ensemble, each before all Tritons
    sharing   the last step of every chunk
    embedded  tokens that Tritons have answered for, by the name that clients send
    on_loss   called with a Triton that is left, or has a model that must prove itself
    on_doubt  called with a Triton, and a model of it that failed
    on_silence  called with a Triton that is late
    """

    def __init__(
        self,
        addresses: Mapping[str, str],
        windows: Windows,
        channels: Channels,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.replicas: dict[str, Replica] = {}
        self.lanes: dict[str, Lanes] = {}
        self.budget = RetryBudget(clock)
        self.retries: Counter[tuple[str, ...]] = Counter()  # by reason and result
        self.embedded: Counter[tuple[str, ...]] = Counter()
        self.sharing = Sharing(self.run)
        self.on_loss: Callable[[Replica], None] = lambda replica: None
        self.on_silence: Callable[[Replica], None] = lambda replica: None
        self.on_doubt: Callable[[Replica, str], None] = lambda replica, ensemble: None
        self.clock = clock
        self._is_closed = False
        self._windows = windows
        self._channels = channels
        self._prompts: dict[tuple[str, str], tuple[str, ...]] = {}  # of ensembles and editions
        self._tasks: set[asyncio.Task[Any]] = set()
        self.set_addresses(addresses)

    def set_addresses(self, addresses: Mapping[str, str]) -> None:
        """From now on these; a Triton that is none of them any more finishes what it has.

        addresses  address → the host that its certificate is for, empty for the one in the address
        """
        for address, host in addresses.items():
            if address not in self.replicas:
                self.replicas[address] = Replica(
                    address, host, self._windows, self._channels, self.clock
                )
        for address, replica in self.replicas.items():
            replica.is_draining = address not in addresses
        self.hand_out()

    def remove(self, replica: Replica) -> None:
        """Forgets one that has nothing left to do."""
        del self.replicas[replica.address]
        self.run(replica.close())

    def lanes_of(self, ensemble: str, micro_batch_tokens: int) -> Lanes:
        """Both lanes of a model."""
        lanes = self.lanes.get(ensemble)
        if lanes is None:
            lanes = self.lanes[ensemble] = Lanes(
                self._windows, self._finder(ensemble, BULK), self._finder(ensemble, INTERACTIVE)
            )
        lanes.fit(micro_batch_tokens)
        return lanes

    def _finder(self, ensemble: str, lane: int) -> FindWindows:
        return partial(self._find_windows, ensemble, lane)

    def _find_windows(self, ensemble: str, lane: int, wish: Wish) -> list[Window]:
        """Raises: TritonUnavailable."""
        return [replica.windows_of(ensemble)[lane] for replica in self.candidates(ensemble, wish)]

    def candidates(self, ensemble: str, wish: Wish) -> Collection[Replica]:
        """The Tritons that a chunk of this model may go to.

        If none is known to serve it, all may: one that comes back is met by the next call. A
        chunk that one of them has lost goes nowhere but where it is known to be served.

        Raises: TritonUnavailable if there is none.
        """
        if len(self.replicas) == 1 and not wish.tried:
            return self.replicas.values()
        ready = [
            replica
            for replica in self.replicas.values()
            if ensemble in replica.serving and replica.address not in wish.tried
        ]
        if ready := [replica for replica in ready if not replica.is_draining] or ready:
            return self._of_one_edition(ready, ensemble, wish.edition)
        rest = [replica for replica in self.replicas.values() if not replica.is_draining]
        if wish.tried or not rest:
            raise TritonUnavailable("no inference server is ready")
        return rest

    def _of_one_edition(
        self, ready: Sequence[Replica], ensemble: str, wanted: str
    ) -> Sequence[Replica]:
        """Those of the edition wanted; where it is gone, of the one that most have."""
        counts = Counter(replica.serving[ensemble] for replica in ready)
        if len(counts) == 1 and (not wanted or wanted in counts):
            return ready
        chosen = wanted if wanted in counts else max(counts, key=lambda one: (counts[one], one))
        if wanted and chosen != wanted and not self._is_asked_alike(ensemble, wanted, chosen):
            raise ModelReplaced
        return [replica for replica in ready if replica.serving[ensemble] == chosen]

    def _is_asked_alike(self, ensemble: str, one: str, other: str) -> bool:
        """Whether texts for one edition, prompts included, are right for another."""
        prompts = [self._prompts.get((ensemble, edition)) for edition in (one, other)]
        return None in prompts or prompts[0] == prompts[1]

    def replica_of(self, window: Window) -> Replica:
        return self.replicas[window.load.name]

    def hand_out(self) -> None:
        """There are other Tritons than before, or other models on them."""
        for lanes in self.lanes.values():
            lanes.hand_out()

    def may_retry(self, lost: str, ensemble: str, wish: Wish, tokens: int, why: str) -> bool:
        """Whether a chunk goes to another Triton, and the budget has enough; if so, it is taken.

        lost  address of the Triton that had it last
        why   in one word

        Raises: ModelReplaced.
        """
        if len(wish.tried) > MOST_LOST or not self.is_served_elsewhere(ensemble, wish.tried):
            return False
        self.candidates(ensemble, wish)
        replica = self.replicas.get(lost)
        may = self.budget.take(tokens, replica.window_tokens() if replica else tokens)
        self.retries[why, "sent" if may else "refused"] += 1
        return may

    def is_served_elsewhere(self, ensemble: str, tried: Collection[str]) -> bool:
        return not self._is_closed and any(
            ensemble in replica.serving
            for replica in self.replicas.values()
            if replica.address not in tried
        )

    def note_failure(self, replica: Replica, ensemble: str, error: UpstreamError) -> None:
        """Leaves a Triton, or one of its models, for what became of a call.

        Of a failure that may lie in a text nothing follows but that the model is tried.
        """
        if isinstance(error, InferenceFailed):
            self.on_doubt(replica, ensemble)
        if not isinstance(error, TritonUnavailable):
            return
        before = replica.why()
        replica.note_failure(ensemble, f"fails: {error.message}", not is_of_one_model(error))
        if replica.why() != before:
            logger.warning("Triton %s is left: %s", replica.address, replica.why())
        self.hand_out()
        self.on_loss(replica)

    def note_prompts(self, replica: Replica) -> None:
        """Remembers what a Triton's models put before texts, also when they are gone."""
        for name, ensemble in replica.ensembles.items():
            if ensemble.edition and ensemble.parameters:
                told = ensemble.parameters
                self._prompts[name, ensemble.edition] = tuple(
                    told.get(key, "") for key in ("prompts", "default_prompt_name")
                )
        while len(self._prompts) > MOST_PROMPTS:
            del self._prompts[next(iter(self._prompts))]

    def count_ready(self) -> int:
        """Tritons that are asked for something, by every call."""
        replicas = self.replicas.values()
        return len([1 for one in replicas if one.serving and not one.is_draining])

    def run(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Does something beside everything else, until the fleet is closed."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that nobody complains where the caller has left

    async def close(self) -> None:
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        for replica in self.replicas.values():
            await replica.close()
