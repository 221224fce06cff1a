"""What an autoscaler reads: metrics of pods, as custom resources that hold what a test says."""

from datetime import UTC, datetime

from tests.cluster.api import Api, ApiError, Object, wait_for
from tests.cluster.cluster import Cluster

METRICS = "metrics.k8s.io"


def define_metrics(admin: Api) -> None:
    """PodMetrics, which a server of its own would give otherwise."""
    _define(admin, METRICS, "v1beta1", "PodMetrics", "pods")


def define_operators(admin: Api) -> None:
    """Kinds of operators without the operators: they are stored, and nobody acts on them."""
    _define(admin, "keda.sh", "v1alpha1", "ScaledObject", "scaledobjects")
    _define(admin, "monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors")


def report_usage(cluster: Cluster, namespace: str, pods: dict[str, str], cpu: str) -> None:
    """Each of these pods uses so much CPU from now on."""
    for pod in pods:
        (found,) = (
            one for one in cluster.list("pods", namespace) if one["metadata"]["name"] == pod
        )
        usage = {"name": "gateway", "usage": {"cpu": cpu, "memory": "100Mi"}}
        body = {
            "apiVersion": f"{METRICS}/v1beta1",
            "kind": "PodMetrics",
            "metadata": {"name": pod, "labels": found["metadata"]["labels"]},
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "window": "0s",
            "containers": [usage],
        }
        cluster.admin.create(f"/apis/{METRICS}/v1beta1/namespaces/{namespace}/pods", body)


def _define(admin: Api, group: str, version: str, kind: str, plural: str) -> None:
    schema: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    one = {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    # The name of such a group is for what Kubernetes has approved.
    approved = {"api-approved.kubernetes.io": "unapproved, for a test"}
    body = {
        "metadata": {"name": f"{plural}.{group}", "annotations": approved},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [one],
        },
    }
    admin.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
    # As operators do it for who is administrator of a namespace.
    role = {"name": plural, "labels": {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}}
    rules = [{"apiGroups": [group], "resources": [plural], "verbs": ["*"]}]
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    admin.create(roles, {"metadata": role, "rules": rules})
    wait_for(lambda: rules[0] in admin.get(f"{roles}/admin")["rules"], f"{plural} may be made")
    wait_for(lambda: _is_served(admin, group, version), f"{group} is served")


def _is_served(admin: Api, group: str, version: str) -> bool:
    try:
        return bool(admin.get(f"/apis/{group}/{version}")["resources"])
    except ApiError:
        return False
