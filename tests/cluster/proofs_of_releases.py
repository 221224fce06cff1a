"""A release lives: it is installed, upgraded, rolled back, tested and removed."""

from tests.cluster.api import place, wait_for
from tests.cluster.cluster import Cluster
from tests.cluster.helm import WAIT
from tests.cluster.namespaces import CLAIM
from tests.helm.chart import changed, worked

CPU = worked("cpu")
TAG = "0.1.0"  # that the chart has
WITH_SECOND_IMAGE = {"gateway.image.tag": "2", "triton.image.tag": "2"}
# What the cluster makes of what a chart holds, and what an administrator has put there.
KINDS = ("deployments", "pods", "services", "secrets", "jobs", "persistentvolumeclaims")


def prove_life(cluster: Cluster, version: str) -> None:
    """From the install to the uninstall by one Helm."""
    fact = cluster.transcript.fact
    helm = cluster.team(f"life-{version}", version)
    with fact(f"{version} installs and waits until two gateways and two Tritons are ready"):
        helm.install("e", cluster.chart, CPU)
        pods_of(cluster, helm.namespace)
    with fact("helm test succeeds"):
        assert "Succeeded" in helm.run("test", "e")
    with fact("an upgrade to another image changes every pod"):
        helm.upgrade("e", cluster.chart, changed(CPU, WITH_SECOND_IMAGE))
        pods_of(cluster, helm.namespace, "2")
    with fact("a rollback changes them back"):
        helm.run("rollback", "e", "1", *WAIT)
        again = pods_of(cluster, helm.namespace, TAG)
    with fact("the history has three revisions") as say:
        history = helm.history("e")
        assert history == ["superseded", "superseded", "deployed"], history
        say(", ".join(history))
    with fact("an upgrade with the same values changes no pod"):
        helm.upgrade("e", cluster.chart, CPU)
        assert pods_of(cluster, helm.namespace) == again
    with fact("uninstall leaves the pod of helm test and the claim from before"):
        helm.run("uninstall", "e", "--wait")
        meant = ["pods/e-triton-embeddings-test", f"persistentvolumeclaims/{CLAIM}"]
        wait_for(lambda: leftovers(cluster, helm.namespace) == meant, f"only {meant}")
    cluster.remove(helm.namespace)


def pods_of(cluster: Cluster, namespace: str, tag: str = TAG) -> dict[str, str]:
    """The image of each pod once two of each component are ready, and none of another tag."""
    gateways = cluster.wait_for_pods(namespace, "gateway", 2, tag)
    return gateways | cluster.wait_for_pods(namespace, "triton", 2, tag)


def leftovers(cluster: Cluster, namespace: str) -> list[str]:
    return [
        f"{kind}/{one['metadata']['name']}"
        for kind in KINDS
        for one in cluster.admin.get(place(kind, namespace))["items"]
        if one.get("type") != "kubernetes.io/service-account-token"
    ]
