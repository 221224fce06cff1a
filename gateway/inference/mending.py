"""Who looks after the Tritons: those that are lost come back, those that are silent are left.

A Triton that is lost is looked at ever less often, up to twice a second, and asked again when each
of its models has embedded one short text. One that has chunks and has not answered for a while is
asked for a sign of life, which a busy one gives and a stopped one does not. A model whose step is
stuck in a Triton that lives is found by a probe, and late: an encoder may need seconds for one long
text. One that fails is probed at once: it answers faster than all others, and would get their work.
"""

import asyncio
import logging
from collections.abc import Mapping

from gateway.errors import TritonTimeout, UpstreamError
from gateway.inference.channels import Channels
from gateway.inference.fleet import Fleet
from gateway.inference.replica import LOST_SECONDS, SILENT, Replica
from gateway.inference.resolution import Addresses

# Seconds between two looks at one that is lost.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 0.5
# Seconds for a probe of a model that must prove itself.
PROBE_SECONDS = 5.0
# Seconds between two looks at the files of TLS.
FILES_SECONDS = 5.0
# Seconds between two looks at what is unanswered.
WATCH_SECONDS = 0.5
# Seconds of silence, with chunks unanswered, after which a sign of life is asked for.
SUSPECT_SECONDS = 1.0
# Seconds that a chunk may take before its model is tried: legitimate ones take 8 on a CPU.
STUCK_SECONDS = 15.0
# Seconds between two tries of a model that may be ill.
DOUBT_SECONDS = 2.0

logger = logging.getLogger(__name__)


class Mending:
    """Looks after one fleet.

    silence is only looked for while there is another Triton to go to.
    """

    def __init__(self, fleet: Fleet, addresses: Addresses, channels: Channels) -> None:
        self._fleet = fleet
        self._addresses = addresses
        self._channels = channels
        self._mended: set[str] = set()  # addresses
        self._asked: set[str] = set()  # for a sign of life
        self._tried: set[tuple[str, str]] = set()  # models of those, by a probe
        self._is_watching = False
        fleet.on_loss = self.begin
        fleet.on_doubt = self.doubt
        fleet.on_silence = self.suspect

    def start(self) -> None:
        """Looks after what there is, once there is an event loop."""
        if not self._is_watching:
            self._is_watching = True
            self._fleet.run(self._watch())
            self._fleet.run(self._renew())
            if not self._addresses.are_fixed:
                self._fleet.run(self._addresses.follow(self._move))

    def begin(self, replica: Replica) -> None:
        """Looks after a Triton until it is well, unless that is done already."""
        if replica.address not in self._mended and not replica.is_draining:
            self._addresses.note_loss()
            self._mended.add(replica.address)
            self._fleet.run(self._mend(replica))

    def _move(self, addresses: Mapping[str, str]) -> None:
        logger.info("Tritons: %s", ", ".join(sorted(addresses)))
        self._fleet.set_addresses(addresses)
        for replica in list(self._fleet.replicas.values()):
            if replica.trouble:
                self.begin(replica)

    async def _renew(self) -> None:
        """Opens new channels when the files of TLS are new ones; what goes on in old ones ends."""
        while True:
            await asyncio.sleep(FILES_SECONDS)
            if self._channels.have_changed():
                logger.info("the certificates for Triton are new ones")
                for replica in self._fleet.replicas.values():
                    self._fleet.run(replica.close(LOST_SECONDS))

    async def _mend(self, replica: Replica) -> None:
        pause = FIRST_PAUSE_SECONDS
        try:
            while not (await self._is_well(replica) or replica.is_draining):
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        finally:
            self._mended.discard(replica.address)

    async def _is_well(self, replica: Replica) -> bool:
        """Whether it answers, and each model that it calls ready has embedded a text."""
        try:
            await replica.look()
        except UpstreamError:
            return False
        self._fleet.note_prompts(replica)
        unproven = replica.unproven()
        proofs = await asyncio.gather(*(self._prove(replica, name) for name in unproven))
        if unproven and all(proofs):
            logger.info("Triton %s is well", replica.address)
        self._fleet.hand_out()
        return replica.state == "ready"

    async def _prove(self, replica: Replica, ensemble: str) -> bool:
        try:
            await replica.probe(ensemble, PROBE_SECONDS)
        except UpstreamError as error:
            is_late = isinstance(error, TritonTimeout)
            replica.ill[ensemble] = SILENT if is_late else f"fails: {error.message}"
            return False
        return True

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for replica in list(self._fleet.replicas.values()):
                if replica.is_draining and not replica.load.tokens:
                    self._fleet.remove(replica)
                elif replica.attempts and len(self._fleet.replicas) > 1:
                    self._look_at(replica)

    def _look_at(self, replica: Replica) -> None:
        """Asks one that owes an answer for long."""
        if replica.is_silent:
            self.give_up(replica)
            return
        now = self._fleet.clock()
        oldest = min(replica.attempts, key=lambda attempt: attempt.sent_at)
        if now - oldest.sent_at > STUCK_SECONDS:
            self.doubt(replica, oldest.ensemble)
        if now - max(oldest.sent_at, replica.answered_at) > SUSPECT_SECONDS:
            self.suspect(replica)

    def suspect(self, replica: Replica) -> None:
        """Asks one that is late for a sign of life."""
        if replica.address not in self._asked and not replica.is_silent:
            self._asked.add(replica.address)
            self._fleet.run(self._check_life(replica))

    async def _check_life(self, replica: Replica) -> None:
        try:
            if await replica.is_live():
                return
        except UpstreamError:
            return  # there is none, and its calls end by themselves
        finally:
            self._asked.discard(replica.address)
        logger.warning("Triton %s is left: it gives no sign of life", replica.address)
        replica.lose(SILENT, is_silent=True)
        self.give_up(replica)
        self.begin(replica)

    def doubt(self, replica: Replica, ensemble: str) -> None:
        """Tries a model that fails, or takes long, unless that was done a moment ago."""
        if ensemble in replica.serving and (replica.address, ensemble) not in self._tried:
            self._tried.add((replica.address, ensemble))
            self._fleet.run(self._try(replica, ensemble))

    async def _try(self, replica: Replica, ensemble: str) -> None:
        try:
            if not await self._prove(replica, ensemble):
                why = replica.ill[ensemble]
                logger.warning("Triton %s is left: %s %s", replica.address, ensemble, why)
                replica.note_failure(ensemble, why, of_all=False)
                self.give_up(replica, ensemble)
                self.begin(replica)
            await asyncio.sleep(DOUBT_SECONDS)
        finally:
            self._tried.discard((replica.address, ensemble))

    def give_up(self, replica: Replica, ensemble: str = "") -> None:
        """Lets what a Triton does not answer go to others, where there are any."""
        for attempt in replica.attempts:
            if ensemble in ("", attempt.ensemble) and self._fleet.is_served_elsewhere(
                attempt.ensemble, {replica.address}
            ):
                attempt.give_up()
        self._fleet.hand_out()
