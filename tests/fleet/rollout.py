"""Which pods a Deployment makes and ends next, after Kubernetes' RollingUpdate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tests.fleet.probes import Manifest


class Member(Protocol):
    """What is asked of a pod."""

    @property
    def is_deleted(self) -> bool: ...

    @property
    def is_ready(self) -> bool: ...

    def is_available(self, min_ready_seconds: float) -> bool: ...

    def is_of(self, template_hash: str) -> bool: ...


M = TypeVar("M", bound=Member)


@dataclass(frozen=True)
class Strategy:
    """How a Deployment rolls: counts of pods, as the chart renders them."""

    replicas: int
    max_surge: int
    max_unavailable: int
    min_ready_seconds: float

    @classmethod
    def read(cls, deployment: Manifest) -> "Strategy":
        spec = deployment["spec"]
        rolling = spec["strategy"]["rollingUpdate"]
        surge, unavailable = rolling["maxSurge"], rolling["maxUnavailable"]
        return cls(spec["replicas"], surge, unavailable, spec.get("minReadySeconds", 0))

    def plan(self, pods: Sequence[M], template_hash: str) -> tuple[int, list[M]]:
        """How many pods of the template to make now, and which pods to end.

        Pods that end already count for nothing, as in Kubernetes. Of the old ones those go first
        that are not ready, and none that is available beyond `max_unavailable`.
        """
        alive = [pod for pod in pods if not pod.is_deleted]
        new = [pod for pod in alive if pod.is_of(template_hash)]
        old = [pod for pod in alive if not pod.is_of(template_hash)]
        youngest = sorted(reversed(new), key=lambda pod: pod.is_ready)
        surplus = youngest[: max(len(new) - self.replicas, 0)]
        room = self.replicas + self.max_surge - len(alive)
        create = max(min(room, self.replicas - len(new)), 0)
        return create, surplus + self._old_to_end(old, new)

    def _old_to_end(self, old: Sequence[M], new: Sequence[M]) -> list[M]:
        available = [pod for pod in new if pod.is_available(self.min_ready_seconds)]
        least = self.replicas - self.max_unavailable
        at_most = len(old) + len(available) - least
        broken = [pod for pod in old if not pod.is_ready][: max(at_most, 0)]
        whole = [pod for pod in old if pod.is_available(self.min_ready_seconds)]
        dispensable = len(available) + len(whole) - least
        return broken + whole[: max(dispensable, 0)]

    def is_done(self, pods: Sequence[M], template_hash: str) -> bool:
        """Whether every pod there is is wanted, and available."""
        return len(pods) == self.replicas and all(
            pod.is_of(template_hash) and pod.is_available(self.min_ready_seconds) for pod in pods
        )
