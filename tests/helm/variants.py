"""Values that together switch on and off whatever the chart has."""

from tests.helm.chart import WORKED, Manifest, Values, changed, worked

_METRICS: list[Manifest] = [{"namespaceSelector": {}}]
_TLS_FILES = {"tlsCertFile": "/tls/tls.crt", "tlsKeyFile": "/tls/tls.key"}
_POD = {
    "podAnnotations": {"a": "b"},
    "podLabels": {"app.kubernetes.io/component": "other", "team": "search"},
    "podSecurityContext": {"runAsUser": 1234, "fsGroup": 5678},
    "extraEnv": [{"name": "OTEL_SDK_DISABLED", "value": "true"}],
    "scheduling": {
        "nodeSelector": {"pool": "one"},
        "tolerations": [{"key": "pool", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "runtimeClassName": "gvisor",
        "topologySpread": False,
    },
}

# An export in the cluster, with whatever may be said of it.
EXPORT: Manifest = {
    "image": {"repository": "registry.example.org/triton-embeddings/export"},
    "id": "mixedbread-ai/mxbai-embed-large-v1",
    "revision": "0123456789abcdef0123456789abcdef01234567",
}
_CHOICES = {
    "servedName": "mxbai-large",
    "aliases": ["mxbai", "large"],
    "precision": "fp16",
    "extraArgs": ["--matryoshka"],
    "tokenSecret": {"name": "hub", "key": "token"},
    "storage": {"className": "fast", "accessMode": "ReadWriteOnce"},
    "extraEgress": [{"ports": [{"port": 443, "protocol": "TCP"}]}],
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:443"}],
    "scheduling": {"nodeSelector": {"pool": "one"}, "affinity": {"nodeAffinity": {}}},
}

# What is changed of the worked values for CPUs, or for one GPU.
_OF_CPU: dict[str, Values] = {
    "open": {"gateway.auth": {"mode": "off"}, "networkPolicy.enabled": False},
    "watched": {
        "networkPolicy": {"metricsFrom": _METRICS, "nodeCIDRs": ["10.0.0.0/8"]},
        "monitoring": {
            "serviceMonitor": {"enabled": True, "labels": {"release": "p"}},
            "rules": {"enabled": True, "labels": {"release": "p"}},
            "dashboard": {"enabled": True},
        },
    },
    "routed": {
        "ingress": {
            "enabled": True,
            "hosts": ["e.example.org", "*.f.example.org"],
            "tlsSecret": "e-tls",
        },
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]},
    },
    "exported": {"model": {"source": "export", "export": EXPORT}},
    "TLS": {
        "gateway.config": _TLS_FILES,
        "gateway.extraVolumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
        "gateway.extraVolumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": True}],
    },
}
_OF_GPU: dict[str, Values] = {
    "claimed GPU": {"triton.gpu": {"resourceClaimTemplate": "one-gpu"}},
    "exported once": {"model": {"source": "export", "export": EXPORT | _CHOICES}},
    "copied": {"model.path": "models", "model.image.mode": "copy"},
    "MIG": {"triton.gpu": {"resourceName": "nvidia.com/mig-1g.10gb"}},
    "scheduled": {
        "model": {
            "source": "export",
            "export": EXPORT | {"podSecurityContext": {"fsGroup": 5678}},
        },
        **{
            f"{component}.{key}": value
            for component in ("gateway", "triton")
            for key, value in _POD.items()
        },
    },
}

_OF_FLEET: dict[str, Values] = {
    "HPA": {"triton.autoscaling": {"kind": "hpa"}},
}

VARIANTS: dict[str, Values] = {
    **{file.stem: worked(file.stem.removesuffix("-values")) for file in WORKED},
    **{name: changed(worked("cpu"), changes) for name, changes in _OF_CPU.items()},
    **{name: changed(worked("gpu"), changes) for name, changes in _OF_GPU.items()},
    **{name: changed(worked("autoscaling"), changes) for name, changes in _OF_FLEET.items()},
}
