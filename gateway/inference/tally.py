"""What a fleet has to do, and how each of its Tritons is: for gauges, probes and people."""

from collections import Counter
from collections.abc import Callable, Mapping

from gateway.inference.embedder import TritonStatus
from gateway.inference.fleet import Fleet
from gateway.inference.lanes import Lane
from gateway.inference.names import name_edition


def is_busy(fleet: Fleet, ensemble: str) -> bool:
    lanes = fleet.lanes.get(ensemble)
    return bool(lanes and (lanes.bulk.in_flight_tokens or lanes.interactive.in_flight_tokens))


def sum_lanes(fleet: Fleet, count: Callable[[Lane], int]) -> Mapping[tuple[str, ...], int]:
    models = fleet.lanes.values()
    return {
        ("bulk",): sum(count(lanes.bulk) for lanes in models),
        ("interactive",): sum(count(lanes.interactive) for lanes in models),
    }


def capacity_tokens(fleet: Fleet) -> Mapping[tuple[str, ...], int]:
    """What would be handed out now, by model and lane."""
    tokens: Counter[tuple[str, ...]] = Counter()
    for replica in fleet.replicas.values():
        for ensemble in () if replica.is_draining else replica.serving:
            bulk, interactive = replica.windows_of(ensemble)
            model = replica.name_of(ensemble)
            tokens[model, "bulk"] += bulk.room_tokens
            tokens[model, "interactive"] += interactive.room_tokens
    return tokens


def embedded_tokens(fleet: Fleet) -> Mapping[tuple[str, ...], int]:
    """What Tritons have answered for, by model, those among them that nobody asked for yet."""
    replicas = fleet.replicas.values()
    served = {(replica.name_of(ensemble),) for replica in replicas for ensemble in replica.serving}
    return dict.fromkeys(served, 0) | fleet.embedded


def status(fleet: Fleet) -> list[TritonStatus]:
    """Each Triton, by address."""
    now = fleet.clock()
    return [
        TritonStatus(
            address=address,
            state=replica.state,
            why=replica.why(),
            models={
                replica.name_of(name): name_edition(edition)
                for name, edition in sorted(replica.serving.items())
            },
            outstanding_tokens=replica.load.tokens,
            window_tokens=replica.window_tokens(),
            silent_seconds=now - replica.answered_at,
        )
        for address, replica in sorted(fleet.replicas.items())
    ]
