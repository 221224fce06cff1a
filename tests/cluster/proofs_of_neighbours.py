"""Releases beside each other and below another chart, and what the cluster refuses."""

import shutil
from functools import partial
from pathlib import Path

import yaml

from tests.cluster.api import ApiError, Object, place, wait_for
from tests.cluster.cluster import Cluster
from tests.cluster.helm import SOON, HelmError
from tests.cluster.namespaces import OWN_USERS
from tests.cluster.transcript import fails
from tests.helm.chart import changed, worked

CPU = worked("cpu")


def prove_neighbours(cluster: Cluster) -> None:
    fact = cluster.transcript.fact
    helm, other = cluster.team("one"), cluster.team("other")
    with fact("three releases live beside each other, two of them in one namespace"):
        helm.install("e", cluster.chart, CPU)
        helm.install("e-v2", cluster.chart, CPU)
        other.install("e", cluster.chart, CPU)
    with fact("each Service finds the two pods of its own release") as say:
        found = [
            wait_for(partial(two_addresses, cluster, namespace, service), f"two pods of {service}")
            for namespace in ("one", "other")
            for service in services(cluster, namespace)
        ]
        assert len(found) == 9, found
        # A gateway is behind two Services, a Triton behind one.
        assert len({address for pair in found for address in pair}) == 12
        say("9 Services, 12 pods")
    with fact("one can be removed, and the other two stay"):
        helm.run("uninstall", "e", "--wait")
        cluster.wait_for_pods("one", "gateway", 2)
        cluster.wait_for_pods("one", "triton", 2)
        cluster.wait_for_pods("other", "triton", 2)
    with fact("its administrator cannot install into a namespace of others"):
        elsewhere = partial(cluster.helm("default").install, "e", cluster.chart, CPU)
        assert "forbidden" in fails(HelmError, elsewhere)
    cluster.remove("one")
    cluster.remove("other")


def prove_subchart(cluster: Cluster) -> None:
    """Below a chart with a condition, global values and values of its own for this one."""
    fact = cluster.transcript.fact
    for version in ("helm3", "helm4"):
        helm = cluster.team(f"parent-{version}", version)
        parent = write_parent(cluster.plane.folder / f"parent-{version}", cluster.chart)
        values = {"global": {"team": "search"}, "embeddings": changed(CPU, {"enabled": True})}
        with fact(f"{version} installs it below a parent, and leaves it out by its condition"):
            helm.install("e", parent, values)
            cluster.wait_for_pods(helm.namespace, "triton")
            helm.upgrade("e", parent, {"embeddings": changed(CPU, {"enabled": False})})
            assert not cluster.list("deployments", helm.namespace)
        cluster.remove(helm.namespace)


def prove_own_users(cluster: Cluster) -> None:
    """As on OpenShift, where a namespace has a range of users."""
    fact = cluster.transcript.fact
    helm = cluster.team("own-users", policy="own-users")
    with fact("where each namespace has its own users, every pod gets one of them") as say:
        helm.install("e", cluster.chart, CPU)
        helm.run("test", "e")
        pods = cluster.list("pods", "own-users")
        users = {user for pod in pods for user in users_of(pod)}
        assert (5, {OWN_USERS["min"]}) == (len(pods), users), users
        say(str(*users))
    with fact("and a user of the values' own is refused"):
        values = changed(CPU, {"gateway.podSecurityContext": {"runAsUser": 1000}})
        fails(HelmError, partial(helm.upgrade, "e", cluster.chart, values, *SOON))
        assert 2 == len(cluster.ready_pods("own-users", "gateway"))
    cluster.remove("own-users")


def users_of(pod: Object) -> set[int]:
    contexts = [one["securityContext"] for one in pod["spec"]["containers"]]
    return {context["runAsUser"] for context in contexts}


def services(cluster: Cluster, namespace: str) -> list[str]:
    return [one["metadata"]["name"] for one in cluster.list("services", namespace)]


def two_addresses(cluster: Cluster, namespace: str, service: str) -> list[str]:
    """Of the pods behind a Service, once they are two."""
    try:
        endpoints = cluster.admin.get(place("endpoints", namespace, service))
    except ApiError:
        return []
    subsets = endpoints.get("subsets", [])
    found = [one["ip"] for subset in subsets for one in subset.get("addresses", [])]
    return found if len(found) == 2 else []


def write_parent(folder: Path, chart: Path) -> Path:
    """A chart that has ours below itself, by the name `embeddings`."""
    shutil.copytree(chart, folder / "charts" / "triton-embeddings")
    ours = {"name": "triton-embeddings", "version": "*", "alias": "embeddings"}
    described: Object = {"apiVersion": "v2", "name": "search", "version": "1.0.0"}
    described |= {"dependencies": [ours | {"condition": "embeddings.enabled"}]}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(described))
    return folder
