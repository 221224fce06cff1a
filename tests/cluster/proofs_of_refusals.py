"""Mistakes in manifests that the API server refuses, or its policy once a pod is made of them.

The tests of the chart look for all of them; here a real server says which it would find itself.
"""

from textwrap import shorten

from helm_python import Chart

from tests.cluster.api import ApiError, place
from tests.cluster.cluster import Cluster
from tests.cluster.namespaces import create_namespace
from tests.helm.broken.manifests import MUTANTS, Mutant
from tests.helm.chart import NAME, Manifest, changed, render_chart
from tests.helm.variants import VARIANTS

# Kinds whose manifests are tried, by what the API calls them.
KINDS = {
    "Deployment": "deployments",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "Ingress": "ingresses",
    "NetworkPolicy": "networkpolicies",
    "Pod": "pods",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "Secret": "secrets",
    "Service": "services",
}
# Volumes of images and claims of devices are newer than this server.
TRIED = ("cpu-values", "gpu-values", "autoscaling-values", "routed")
IN_A_CLAIM = {"model": {"source": "claim", "claim": {"name": "models"}}}
# Mistakes in what the chart does without here.
NEWER = ("preStop", "unhealthyPodEvictionPolicy", "apiVersion")


def prove_refusals(cluster: Cluster) -> None:
    transcript, namespace = cluster.transcript, create_namespace(cluster.admin, "mistakes")
    account = {"metadata": {"name": f"{NAME}-triton-embeddings"}}
    cluster.admin.create(place("serviceaccounts", namespace), account)
    tried, found = 0, []
    for variant in TRIED:
        values = changed(VARIANTS[variant], IN_A_CLAIM)
        manifests = render_chart(Chart.load(cluster.chart), values)
        with transcript.fact(f"what is rendered of {variant} is taken"):
            said = [refused(cluster, namespace, one) for one in manifests]
            assert not any(said), said
        for mutant in filter(is_for_here, MUTANTS):
            if mutant.variant == variant:
                tried += 1
                wrong = [one for one in mutant.made_in(manifests) if one not in manifests]
                if answer := refused(cluster, namespace, wrong[0]):
                    found.append(mutant.what)
                    transcript.note(shorten(f"{mutant.what}: {answer}", 180, placeholder="…"))
    with transcript.fact("mistakes in manifests that the cluster refuses") as say:
        say(f"{len(found)} of {tried}")
        assert set(found) >= EXPECTED, EXPECTED - set(found)
    cluster.remove(namespace)


# Those among them that no schema sees, and what a policy for pods is there for.
EXPECTED = {
    "no image",
    "a quantity with a space",
    "a policy of pulling that there is not",
    "two handlers of one probe",
    "a port above 65535",
    "requests above limits",
    "a mount without a volume",
    "a selector of other pods",
    "half a GPU",
    "a GPU asked for and not limited",
    "a name with capitals",
    "a rollout that can never begin",
    "as root",
    "privileged",
    "the network of the node",
    "a folder of the node",
}


def is_for_here(mutant: Mutant) -> bool:
    return mutant.kind in KINDS and not any(word in mutant.change["at"] for word in NEWER)


def refused(cluster: Cluster, namespace: str, manifest: Manifest) -> str:
    """What is said against a manifest, or against the pods that would be made of it."""
    kind = manifest["kind"]
    if kind not in KINDS:
        return ""
    said = _apply(cluster, namespace, manifest)
    if not said and kind == "Deployment":
        pod = {"apiVersion": "v1", "kind": "Pod", **manifest["spec"]["template"]}
        pod["metadata"] = pod["metadata"] | {"name": "one-of-them"}
        said = _apply(cluster, namespace, pod)
    return said


def _apply(cluster: Cluster, namespace: str, manifest: Manifest) -> str:
    """As Helm 4 does it, but only tried; what the server says against it."""
    path = place(KINDS[manifest["kind"]], namespace, manifest["metadata"]["name"])
    try:
        cluster.admin.apply(f"{path}?dryRun=All&fieldManager=helm", manifest)
    except ApiError as error:
        return str(error)
    return ""
