"""Nodes that are full, drained, or without what a pod asks for."""

from functools import partial

from tests.cluster.api import ApiError, place, wait_for
from tests.cluster.cluster import Cluster
from tests.cluster.helm import SOON, WAIT, HelmError
from tests.cluster.namespaces import CLAIM
from tests.cluster.transcript import fails
from tests.helm.chart import changed, worked

# Two Tritons for the two GPUs that there are.
GPU = changed(
    worked("gpu"), {"model": {"source": "claim", "claim": {"name": CLAIM}}, "triton.replicas": 2}
)
SURGE = {"triton.strategy": {"maxSurge": 1, "maxUnavailable": 0}}


def prove_rollout(cluster: Cluster) -> None:
    """Two nodes with one GPU each: the new pod cannot come before the old one has gone."""
    fact = cluster.transcript.fact
    helm = cluster.team("rollout")
    helm.install("e", cluster.chart, GPU)
    with fact("two Tritons on two nodes of one GPU roll to another image"):
        helm.upgrade("e", cluster.chart, changed(GPU, {"triton.image.tag": "2"}))
        cluster.wait_for_pods("rollout", "triton", 2, "2")
    with fact("with a maxSurge of 1, as Deployments have it, the rollout hangs") as say:
        surging = changed(GPU, SURGE | {"triton.image.tag": "3"})
        fails(HelmError, partial(helm.upgrade, "e", cluster.chart, surging, *SOON))
        say(why_pending(cluster, "rollout", "Insufficient nvidia.com/gpu"))
    with fact("a rollback mends it"):
        helm.run("rollback", "e", "2", *WAIT)
        cluster.wait_for_pods("rollout", "triton", 2, "2")
    cluster.remove("rollout")


def prove_drain(cluster: Cluster) -> None:
    """Both nodes with GPUs are drained at once; only one may lose its Triton."""
    fact = cluster.transcript.fact
    helm = cluster.team("drain")
    helm.install("e", cluster.chart, GPU)
    first, last = cluster.wait_for_pods("drain", "triton")
    wait_for(lambda: disruptions_allowed(cluster, "drain") == 1, "one Triton may go")
    cordon(cluster, True)
    with fact("of two Tritons the first is evicted"):
        evict(cluster, "drain", first)
        cluster.wait_for_pods("drain", "triton", 1)
    with fact("the eviction of the last is refused") as say:
        refused = fails(ApiError, partial(evict, cluster, "drain", last))
        assert refused.startswith("429"), refused
        say(refused)
    with fact("once the nodes are back the second Triton is too, and then the other may go"):
        cordon(cluster, False)
        cluster.wait_for_pods("drain", "triton")
        wait_for(lambda: disruptions_allowed(cluster, "drain") == 1, "one Triton may go")
        evict(cluster, "drain", last)
    cluster.remove("drain")


def prove_missing_claim(cluster: Cluster) -> None:
    fact = cluster.transcript.fact
    helm = cluster.team("missing")
    with fact("without its claim Triton stays Pending, and the cluster says why") as say:
        values = changed(GPU, {"model.claim.name": "nowhere"})
        fails(HelmError, partial(helm.install, "e", cluster.chart, values, *SOON))
        say(why_pending(cluster, "missing", "nowhere"))
    cluster.remove("missing")


def cordon(cluster: Cluster, closed: bool) -> None:
    """Closes the nodes with GPUs to new pods, or opens them."""
    for node in ("gpu-a", "gpu-b"):
        cluster.admin.merge(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": closed}})


def disruptions_allowed(cluster: Cluster, namespace: str) -> int:
    """Pods of Triton that the budget lets go now."""
    budget = cluster.one("poddisruptionbudgets", namespace, "triton")
    return budget["status"].get("disruptionsAllowed", 0)


def evict(cluster: Cluster, namespace: str, pod: str) -> None:
    """As `kubectl drain` does it.

    Raises: ApiError if a budget forbids it.
    """
    eviction = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": pod}}
    cluster.admin.create(f"{place('pods', namespace, pod)}/eviction", eviction)


def why_pending(cluster: Cluster, namespace: str, word: str) -> str:
    """What the scheduler says of a pod of Triton, once it says this word."""

    def said() -> str:
        messages = [
            condition.get("message", "")
            for pod in cluster.list("pods", namespace, "triton")
            for condition in pod["status"].get("conditions", [])
            if condition["type"] == "PodScheduled" and condition["status"] == "False"
        ]
        return next((message for message in messages if word in message), "")

    return wait_for(said, f"a Triton is Pending for {word}")
