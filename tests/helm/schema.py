"""values.schema.json: closed at every level but `global` and Kubernetes' own types."""

from dataclasses import fields

from gateway.settings import MAX_PORT, VARIABLES, Settings, Variable
from tests.helm.conditions import GIVEN, Schema, conditions, needs

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
NAME: Schema = {"type": "string", "pattern": "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"}
COUNT: Schema = {"type": "integer", "minimum": 1}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_PORT}
QUANTITY: Schema = {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(m|k|[KMGT]i?)?$"}
TEXTS: Schema = {"type": "array", "items": GIVEN}
LABELS: Schema = {"type": "object", "additionalProperties": TEXT}
OBJECTS: Schema = {"type": "array", "items": {"type": "object"}}

# Those that a chart takes from elsewhere: keys as a file, secrets from Secrets.
KEYS = ("auth", "api_keys", "api_keys_file")
SECRETS = tuple(
    field.name for field in fields(Settings) if not field.repr and field.name not in KEYS
)


def closed(required: tuple[str, ...] = (), /, **properties: Schema) -> Schema:
    """An object with these keys and no other."""
    return {
        "type": "object",
        "additionalProperties": False,
        **({"required": list(required)} if required else {}),
        "properties": properties,
    }


def one_of(*words: str) -> Schema:
    return {"enum": list(words)}


def camel_case(name: str) -> str:
    """`max_texts` → `maxTexts`."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def setting(name: str, variable: Variable) -> Schema:
    """What a setting of the gateway may be, as it is written in values."""
    if name in ("port", "operations_port"):
        return PORT
    if variable.choices:
        return one_of(*variable.choices)
    if isinstance(variable.default, tuple):
        return TEXTS
    if isinstance(variable.default, str):
        return GIVEN
    least = {"minimum": 0} if name == "drain_seconds" else {"exclusiveMinimum": 0}
    return {"type": "integer" if isinstance(variable.default, int) else "number", **least}


def config() -> Schema:
    settings = {
        camel_case(name): setting(name, variable)
        for name, variable in VARIABLES.items()
        if name not in KEYS + SECRETS
    }
    chosen_here = ("host", "port", "operationsPort", "drainSeconds")
    return {
        **closed(chosen_here, **settings),
        "dependencies": {
            "tlsCertFile": ["tlsKeyFile"],
            "tlsKeyFile": ["tlsCertFile"],
            "tlsClientCaFile": ["tlsCertFile"],
        },
    }


def secret_key() -> Schema:
    return closed(("name", "key"), name={**NAME, "minLength": 1}, key=GIVEN)


def image() -> Schema:
    return closed(
        ("repository",),
        repository={"type": "string", "pattern": "^[a-z0-9][^@\\s]*[^@:\\s]$"},
        tag={"type": "string", "pattern": "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$"},
        digest={"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
        pullPolicy=one_of("Always", "IfNotPresent", "Never"),
    )


def api_key() -> Schema:
    return closed(
        ("name", "digest"),
        name={"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        digest={"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
        models={**TEXTS, "minItems": 1},
        requestsPerMinute=COUNT,
        tokensPerMinute=COUNT,
        expires={
            "type": "string",
            "pattern": "^\\d{4}-\\d{2}-\\d{2}(T\\d{2}:\\d{2}:\\d{2}(Z|[+-]\\d{2}:\\d{2}))?$",
        },
    )


def resources() -> Schema:
    quantities = {"type": "object", "additionalProperties": QUANTITY}
    return closed(requests=quantities, limits=quantities)


def pods() -> dict[str, Schema]:
    """What gateway and Triton have alike."""
    number = {"type": "integer", "minimum": 1}
    variable = {"required": ["name"], "properties": {"name": {"not": {"pattern": "^GATEWAY_"}}}}
    return {
        "image": image(),
        "replicas": COUNT,
        "resources": resources(),
        "extraEnv": {"type": "array", "items": {"type": "object", **variable}},
        "extraVolumes": OBJECTS,
        "extraVolumeMounts": OBJECTS,
        "podAnnotations": LABELS,
        "podLabels": LABELS,
        # Nothing by which a pod would leave the restricted Pod Security standard.
        "podSecurityContext": closed(
            runAsUser=number,
            runAsGroup={"type": "integer", "minimum": 0},
            fsGroup={"type": "integer", "minimum": 0},
            fsGroupChangePolicy=one_of("Always", "OnRootMismatch"),
            supplementalGroups={"type": "array", "items": {"type": "integer", "minimum": 0}},
            seLinuxOptions={"type": "object", "properties": {"type": one_of("container_t")}},
        ),
        "scheduling": closed(
            nodeSelector=LABELS,
            tolerations=OBJECTS,
            affinity={"type": "object"},
            priorityClassName=NAME,
            runtimeClassName=NAME,
            topologySpread=FLAG,
        ),
    }


def gateway() -> Schema:
    return closed(
        ("image",),
        **pods(),
        config=config(),
        secretConfig=closed(**{camel_case(name): secret_key() for name in SECRETS}),
        auth=closed(
            mode=one_of("required", "off"),
            existingSecret=NAME,
            file={"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"},
            keys={"type": "array", "items": api_key()},
        ),
        autoscaling=closed(
            enabled=FLAG,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            targetCPUUtilization={"type": "integer", "minimum": 1, "maximum": 100},
        ),
        service=closed(
            type=one_of("ClusterIP", "NodePort", "LoadBalancer"), port=PORT, annotations=LABELS
        ),
    )


def triton() -> Schema:
    some = {"type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+%$"}
    none = {"enum": [0, "0%"]}
    return closed(
        ("image",),
        **pods(),
        flavour=one_of("gpu", "cpu"),
        gpu=closed(
            resourceName={"type": "string", "pattern": "^[a-z0-9.-]+/[A-Za-z0-9._-]+$"},
            count=COUNT,
            resourceClaimTemplate=NAME,
            toleration=FLAG,
        ),
        sharedMemory=QUANTITY,
        startupMinutes=COUNT,
        strategy={
            **closed(maxSurge=some, maxUnavailable=some),
            "not": needs(maxSurge=none, maxUnavailable=none),
        },
        capacityTokensPerSecond={"type": "number", "minimum": 0},
        autoscaling=closed(
            kind=one_of("none", "keda"),
            minReplicas=COUNT,
            maxReplicas=COUNT,
            prometheusAddress={"type": "string", "pattern": "^(https?://\\S+)?$"},
            scaleDownStabilizationSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
        ),
        extraArgs={"type": "array", "items": {"type": "string", "pattern": "^--[a-z]"}},
    )


def model() -> Schema:
    return closed(
        source=one_of("image", "claim"),
        path={"type": "string", "pattern": "^([A-Za-z0-9][A-Za-z0-9._/-]*[A-Za-z0-9_-])?$"},
        image=closed(reference=TEXT, pullPolicy=one_of("Always", "IfNotPresent", "Never")),
        claim=closed(name=NAME),
    )


def values_schema() -> Schema:
    """The whole of values.schema.json."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **closed(
            ("model", "gateway", "triton"),
            **{"global": {"type": "object"}},
            enabled=FLAG,
            nameOverride=NAME,
            fullnameOverride=NAME,
            imagePullSecrets={"type": "array", "items": closed(("name",), name=GIVEN)},
            model=model(),
            gateway=gateway(),
            triton=triton(),
            ingress=closed(
                enabled=FLAG, className=NAME, annotations=LABELS, host=NAME, tlsSecret=NAME
            ),
            httpRoute=closed(
                enabled=FLAG,
                parentRefs=OBJECTS,
                hostnames=TEXTS,
                timeout={"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"},
            ),
            networkPolicy=closed(
                enabled=FLAG,
                ingressFrom=OBJECTS,
                metricsFrom=OBJECTS,
                nodeCIDRs={
                    "type": "array",
                    "items": {"type": "string", "pattern": "^[0-9a-f.:]+/\\d+$"},
                },
                extraEgress=OBJECTS,
            ),
            monitoring=closed(
                serviceMonitor=closed(
                    enabled=FLAG,
                    labels=LABELS,
                    interval={"type": "string", "pattern": "^[0-9]+(ms|s|m)$"},
                )
            ),
            test=closed(
                apiKeySecret={"anyOf": [{"type": "object", "maxProperties": 0}, secret_key()]}
            ),
        ),
        "allOf": conditions(),
    }
