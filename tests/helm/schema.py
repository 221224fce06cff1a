"""values.schema.json: closed at every level but `global` and Kubernetes' own types."""

from dataclasses import fields

from export.serving import PRECISIONS
from gateway.settings import MAX_PORT, VARIABLES, Settings, Variable
from tests.helm.conditions import GIVEN, Schema, conditions, needs
from tests.helm.kinds import CIDR, definitions, kind, list_of

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
NAME: Schema = {"type": "string", "pattern": "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"}
# A part of the names of Services, which begin with a letter and have no dots.
OWN_NAME: Schema = {"type": "string", "maxLength": 40, "pattern": "^([a-z]([-a-z0-9]*[a-z0-9])?)?$"}
COUNT: Schema = {"type": "integer", "minimum": 1, "maximum": 10_000}
RATE: Schema = {"type": "integer", "minimum": 1, "maximum": 10**12}
ID: Schema = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_PORT}
QUANTITY: Schema = {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(m|k|[MGT]|[KMGT]i)?$"}
MEMORY: Schema = {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(k|[MGT]|[KMGT]i)?$"}
SIZE: Schema = {"type": "string", "pattern": "^[0-9]+(M|G|Mi|Gi)$"}
SHARE: Schema = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
SECONDS: Schema = {"type": "number", "exclusiveMinimum": 0}
TEXTS: Schema = {"type": "array", "items": GIVEN}
LABELS: Schema = {"type": "object", "additionalProperties": TEXT}
LABEL_VALUES: Schema = {
    "type": "object",
    "additionalProperties": {
        "type": "string",
        "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$",
    },
}
FLAGS: Schema = {"type": "array", "items": {"type": "string", "pattern": "^--[a-z]"}}
PULL: Schema = {"enum": ["Always", "IfNotPresent", "Never"]}
REPOSITORY = "([A-Za-z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*"
TAG = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
DIGEST = "sha256:[0-9a-f]{64}"

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


# What the gateway wants of settings that are text, in the words of Go's expressions.
_ADDRESS = r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\],]+):[0-9]{1,5}"
_SHARES = r"[^=;,\s]+=\s*[0-9A-Za-z._-]+:[0-9]+\s*(,\s*[0-9A-Za-z._-]+:[0-9]+\s*)*"
WRITTEN: dict[str, Schema] = {
    "allowed_origins": {
        "type": "array",
        "items": {
            "type": "string",
            "pattern": r"^([A-Za-z][A-Za-z0-9+.-]*://[^/?#@*\s,]+/?|null|\*)$",
        },
    },
    "triton_address": {
        "type": "string",
        "pattern": rf"^((ipv4|ipv6|unix):\S+|dns:///{_ADDRESS}|{_ADDRESS}(,\s*{_ADDRESS})*)$",
    },
    "revision_shares": {"type": "string", "pattern": rf"^{_SHARES}(;\s*{_SHARES})*;?$"},
}
PATH: Schema = {"type": "string", "pattern": "^/."}


def setting(name: str, variable: Variable) -> Schema:
    """What a setting of the gateway may be, as it is written in values."""
    if name in ("port", "operations_port"):
        return PORT
    if name in WRITTEN:
        return WRITTEN[name]
    if name.endswith("_file") or name == "usage_log":
        return PATH
    if variable.choices:
        return one_of(*variable.choices)
    if isinstance(variable.default, tuple):
        return TEXTS
    if isinstance(variable.default, str):
        return GIVEN
    least = {"minimum": 0} if name == "drain_seconds" else {"exclusiveMinimum": 0}
    if isinstance(variable.default, int):
        return {"type": "integer", **least, "maximum": 10**12}
    return {"type": "number", **least, "maximum": 86_400}  # seconds


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
            "tritonCertFile": ["tritonKeyFile", "tritonCaFile"],
            "tritonKeyFile": ["tritonCertFile", "tritonCaFile"],
        },
    }


def secret_key() -> Schema:
    return closed(("name", "key"), name={**NAME, "minLength": 1}, key=GIVEN)


def optional_secret_key() -> Schema:
    return {"anyOf": [{"type": "object", "maxProperties": 0}, secret_key()]}


def image(given: bool = True) -> Schema:
    return closed(
        ("repository",),
        repository={
            "type": "string",
            "pattern": f"^{REPOSITORY}$" if given else f"^({REPOSITORY})?$",
        },
        tag={"type": "string", "pattern": f"^({TAG})?$"},
        digest={"type": "string", "pattern": f"^({DIGEST})?$"},
        pullPolicy=PULL,
    )


def api_key() -> Schema:
    return closed(
        ("name", "digest"),
        name={"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
        digest={"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
        models={**TEXTS, "minItems": 1},
        requestsPerMinute=RATE,
        tokensPerMinute=RATE,
        expires={
            "type": "string",
            "pattern": "^\\d{4}-\\d{2}-\\d{2}(T\\d{2}:\\d{2}:\\d{2}(Z|[+-]\\d{2}:\\d{2}))?$",
        },
    )


def resources() -> Schema:
    quantities = {
        "type": "object",
        "properties": {"memory": MEMORY},
        "additionalProperties": QUANTITY,
    }
    return closed(("limits",), requests=quantities, limits={**quantities, "required": ["memory"]})


def pods() -> dict[str, Schema]:
    """What gateway and Triton have alike."""
    return {
        "image": image(),
        "replicas": COUNT,
        "resources": resources(),
        "extraEnv": list_of("EnvVar"),
        "extraVolumes": list_of("Volume"),
        "extraVolumeMounts": list_of("VolumeMount"),
        "podAnnotations": LABELS,
        "podLabels": LABEL_VALUES,
        # Nothing by which a pod would leave the restricted Pod Security standard.
        "podSecurityContext": closed(
            runAsUser={**ID, "minimum": 1},
            runAsGroup=ID,
            fsGroup=ID,
            fsGroupChangePolicy=one_of("Always", "OnRootMismatch"),
            supplementalGroups={"type": "array", "items": ID},
            seLinuxOptions=closed(type=one_of("container_t"), level=TEXT),
        ),
        "scheduling": closed(
            nodeSelector=LABELS,
            tolerations=list_of("Toleration"),
            affinity=kind("Affinity"),
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
            type=one_of("ClusterIP", "NodePort", "LoadBalancer"),
            port=PORT,
            annotations=LABELS,
            trafficDistribution=one_of("", "PreferClose", "PreferSameZone", "PreferSameNode"),
        ),
    )


def triton() -> Schema:
    some = {
        "type": ["integer", "string"],
        "minimum": 0,
        "maximum": 10_000,
        "pattern": "^([0-9]|[1-9][0-9]|100)%$",
    }
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
        sharedMemory=SIZE,
        startupMinutes=COUNT,
        strategy=closed(maxSurge=some, maxUnavailable=some),
        capacityTokensPerSecond={"type": "number", "minimum": 0, "maximum": 10**12},
        autoscaling=closed(
            kind=one_of("none", "keda", "hpa"),
            minReplicas=COUNT,
            maxReplicas=COUNT,
            prometheusAddress={"type": "string", "pattern": "^(https?://\\S+)?$"},
            scaleDownStabilizationSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
        ),
        extraArgs=FLAGS,
    )


def export() -> Schema:
    word = "[A-Za-z0-9][A-Za-z0-9_.-]*"
    weights = dict.fromkeys(one for target in PRECISIONS.values() for one in target)
    own = pods()
    return closed(
        image=image(given=False),
        id={"type": "string", "pattern": f"^({word}(/{word})?)?$"},
        revision={"type": "string", "pattern": "^([0-9a-f]{40})?$"},
        servedName=TEXT,
        aliases=TEXTS,
        precision=one_of("", *weights),
        extraArgs=FLAGS,
        tokenSecret=optional_secret_key(),
        storage=closed(
            size=SIZE, className=NAME, accessMode=one_of("ReadWriteMany", "ReadWriteOnce")
        ),
        scratchSize=SIZE,
        deadlineSeconds=COUNT,
        extraEgress=list_of("NetworkPolicyEgressRule"),
        **{key: own[key] for key in ("resources", "extraEnv", "podSecurityContext", "scheduling")},
    )


def model() -> Schema:
    folder = "[A-Za-z0-9_-][A-Za-z0-9._-]*"
    reference = {
        "type": "string",
        "pattern": f"^({REPOSITORY}(:{TAG}|(:{TAG})?@{DIGEST}))?$",
    }
    return closed(
        source=one_of("image", "claim", "export"),
        path={"type": "string", "pattern": f"^({folder}(/{folder})*)?$"},
        image=closed(
            reference=reference, pullPolicy=PULL, mode=one_of("volume", "copy"), copySize=SIZE
        ),
        claim=closed(name=NAME),
        export=export(),
    )


def shared() -> Schema:
    """What parents put there for all of their charts, in the two ways that are in use."""
    secret = {"anyOf": [GIVEN, needs(name=GIVEN)]}
    return {
        "type": "object",
        "properties": {"imagePullSecrets": {"type": "array", "items": secret}},
    }


def parent() -> Schema:
    """A Gateway, or another parent of an HTTPRoute."""
    return closed(
        ("name",),
        name={**NAME, "minLength": 1},
        namespace=NAME,
        group=TEXT,
        kind=GIVEN,
        sectionName=NAME,
        port=PORT,
    )


def hosts() -> Schema:
    name = "^(\\*\\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
    return {"type": "array", "items": {"type": "string", "pattern": name}}


def values_schema() -> Schema:
    """The whole of values.schema.json."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **closed(
            ("model", "gateway", "triton"),
            **{"global": shared()},
            enabled=FLAG,
            nameOverride=OWN_NAME,
            fullnameOverride=OWN_NAME,
            imagePullSecrets={"type": "array", "items": closed(("name",), name=GIVEN)},
            model=model(),
            gateway=gateway(),
            triton=triton(),
            ingress=closed(
                enabled=FLAG, className=NAME, annotations=LABELS, hosts=hosts(), tlsSecret=NAME
            ),
            httpRoute=closed(
                enabled=FLAG,
                parentRefs={"type": "array", "items": parent()},
                hostnames=hosts(),
                timeout={"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"},
            ),
            networkPolicy=closed(
                enabled=FLAG,
                ingressFrom=list_of("NetworkPolicyPeer"),
                metricsFrom=list_of("NetworkPolicyPeer"),
                nodeCIDRs={"type": "array", "items": {"type": "string", "pattern": CIDR}},
                extraEgress=list_of("NetworkPolicyEgressRule"),
            ),
            monitoring=closed(
                serviceMonitor=closed(
                    enabled=FLAG,
                    labels=LABEL_VALUES,
                    interval={"type": "string", "pattern": "^[0-9]+(ms|s|m)$"},
                ),
                rules=closed(
                    enabled=FLAG,
                    labels=LABEL_VALUES,
                    errorShare=SHARE,
                    overloadedShare=SHARE,
                    smallCallSeconds=SECONDS,
                    backlogSeconds=SECONDS,
                    runbook={"type": "string", "pattern": "^[^\\s#]+$"},
                ),
                dashboard=closed(enabled=FLAG, labels=LABELS, annotations=LABELS),
            ),
            test=closed(apiKeySecret=optional_secret_key()),
        ),
        "allOf": conditions(),
        "definitions": definitions(),
    }
