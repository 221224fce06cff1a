"""What is asked of all Tritons together: what they have, and whether a model answers."""

import asyncio

from gateway.errors import TritonTimeout, TritonUnavailable, UpstreamError
from gateway.inference.embedder import Repository
from gateway.inference.fleet import Fleet
from gateway.inference.listing import Listed, merge
from gateway.inference.replica import Replica
from gateway.inference.windows import Wish

# Seconds for which a probe waits before it asks another Triton as well.
PROBE_PATIENCE_SECONDS = 1.0


async def list_repository(fleet: Fleet) -> Repository:
    """What can be served, of which each Triton tells its own part.

    Those that are lost are not waited for while another one answers.

    Raises: UpstreamError if none does.
    """
    replicas = [replica for replica in fleet.replicas.values() if not replica.is_draining]
    if not replicas:
        raise TritonUnavailable("no inference server has an address")
    well = [replica for replica in replicas if not replica.trouble] or replicas
    errors = await asyncio.gather(*(_look(fleet, replica) for replica in well))
    if all(errors):
        raise next(filter(None, errors))
    return merge(
        Listed(replica.ensembles.values(), replica.serving, not replica.trouble)
        for replica in replicas
    )


async def _look(fleet: Fleet, replica: Replica) -> UpstreamError | None:
    try:
        await replica.look()
    except TritonTimeout as error:
        fleet.on_silence(replica)
        return error
    except UpstreamError as error:
        fleet.hand_out()
        fleet.on_loss(replica)
        return error
    fleet.note_prompts(replica)
    if replica.state != "ready" or replica.unproven():
        fleet.on_loss(replica)
    return None


async def probe_first(fleet: Fleet, ensemble: str) -> None:
    """Embeds one short text at the first Triton that does, the freest first.

    Raises: UpstreamError if none does.
    """
    replicas = sorted(fleet.candidates(ensemble, Wish()), key=lambda one: one.load.tokens)
    running: set[asyncio.Task[None]] = set()
    failure: UpstreamError | None = None
    try:
        while replicas or running:
            if replicas:
                running.add(asyncio.create_task(_probe(fleet, replicas.pop(0), ensemble)))
            patience = PROBE_PATIENCE_SECONDS if replicas else None
            done, running = await asyncio.wait(
                running, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is None:
                    return
                if not isinstance(error, UpstreamError):
                    raise error
                failure = error
    finally:
        for task in running:
            task.cancel()
    assert failure is not None
    raise failure


async def _probe(fleet: Fleet, replica: Replica, ensemble: str) -> None:
    try:
        await replica.probe(ensemble)
    except TritonUnavailable as error:
        fleet.note_failure(replica, ensemble, error)
        raise
