"""What an administrator gives a team: a namespace, its rights, a policy for its pods, a claim."""

from tests.cluster.api import Api, Object, place, wait_for

RBAC = "rbac.authorization.k8s.io"
CLAIM = "embeddings-models"
_SECCOMP = "seccomp.security.alpha.kubernetes.io/allowedProfileNames"
_RESTRICTED: Object = {
    "privileged": False,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "requiredDropCapabilities": ["ALL"],
    "runAsUser": {"rule": "MustRunAsNonRoot"},
    "seLinux": {"rule": "RunAsAny"},
    "supplementalGroups": {"rule": "RunAsAny"},
    "fsGroup": {"rule": "RunAsAny"},
    "volumes": ["configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"],
}
# As on OpenShift: each namespace has its users, and a pod that asks for another one is refused.
OWN_USERS = {"min": 1000640000, "max": 1000649999}
POLICIES: dict[str, Object] = {
    "restricted": _RESTRICTED,
    "own-users": _RESTRICTED | {"runAsUser": {"rule": "MustRunAs", "ranges": [OWN_USERS]}},
}


def create_policies(admin: Api) -> None:
    """The policies, each with a role that may use it."""
    for name, spec in POLICIES.items():
        metadata = {"name": name, "annotations": {_SECCOMP: "runtime/default"}}
        admin.create("/apis/policy/v1beta1/podsecuritypolicies", _named(metadata, spec=spec))
        rule = {"apiGroups": ["policy"], "resources": ["podsecuritypolicies"]}
        rules = [rule | {"resourceNames": [name], "verbs": ["use"]}]
        admin.create(f"/apis/{RBAC}/v1/clusterroles", _named({"name": name}, rules=rules))
    # A controller gathers the rights of this role from others.
    role = f"/apis/{RBAC}/v1/clusterroles/admin"
    wait_for(lambda: admin.get(role)["rules"], "an administrator of a namespace has rights")


def create_namespace(admin: Api, name: str, policy: str = "restricted") -> str:
    """A namespace where `installer` is its administrator and no more, and a volume is ready."""
    admin.create("/api/v1/namespaces", _named({"name": name}))
    for role, kind, subject in (
        ("admin", "User", "installer"),
        (policy, "Group", f"system:serviceaccounts:{name}"),
    ):
        binding = _named(
            {"name": role},
            roleRef={"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
            subjects=[{"apiGroup": RBAC, "kind": kind, "name": subject}],
        )
        admin.create(f"/apis/{RBAC}/v1/namespaces/{name}/rolebindings", binding)
    create_claim(admin, name, CLAIM)
    return name


def create_claim(admin: Api, namespace: str, name: str) -> None:
    """A claim and the volume that will be bound to it."""
    access = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    volume = access | {"capacity": {"storage": "20Gi"}, "hostPath": {"path": "/models"}}
    volume |= {"claimRef": {"namespace": namespace, "name": name}}
    metadata = {"name": f"{namespace}-{name}"}
    admin.create("/api/v1/persistentvolumes", _named(metadata, spec=volume))
    spec = access | {"resources": {"requests": {"storage": "20Gi"}}}
    claims = place("persistentvolumeclaims", namespace)
    admin.create(claims, _named({"name": name}, spec=spec))


def create_storage(admin: Api, name: str) -> None:
    """A class whose volume is bound only when a pod that uses it is scheduled."""
    storage = {"provisioner": "kubernetes.io/no-provisioner"}
    storage |= {"volumeBindingMode": "WaitForFirstConsumer"}
    admin.create("/apis/storage.k8s.io/v1/storageclasses", _named({"name": name}, **storage))
    volume: Object = {"capacity": {"storage": "20Gi"}, "hostPath": {"path": "/exports"}}
    volume |= {"storageClassName": name, "accessModes": ["ReadWriteOnce", "ReadWriteMany"]}
    admin.create("/api/v1/persistentvolumes", _named({"name": name}, spec=volume))


def _named(metadata: Object, **rest: object) -> Object:
    return {"metadata": metadata, **rest}
