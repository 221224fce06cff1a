"""What the values of one place ask of those of another, as a part of the schema."""

from typing import Any

from export.serving import PRECISIONS

Schema = dict[str, Any]

GIVEN: Schema = {"type": "string", "minLength": 1}
NOBODY: Schema = {"maxLength": 0}
# Four scrapes in the two minutes over which autoscaling takes the rate of a series.
OFTEN: Schema = {"pattern": "^([0-9]{1,4}ms|([1-9]|[12][0-9]|30)s)$"}


def needs(**properties: Any) -> Schema:
    """Values that are given, and as these schemas say; nested by dictionaries without a type."""
    return {"required": list(properties), "properties": properties}


def when(condition: Schema, consequence: Schema) -> Schema:
    return {"if": condition, "then": consequence}


def model_conditions() -> list[Schema]:
    """What a source of the model needs."""
    image = needs(model=needs(source={"const": "image"}))
    exported = needs(model=needs(source={"const": "export"}))
    once = needs(model=needs(export=needs(storage=needs(accessMode={"const": "ReadWriteOnce"}))))
    copied = needs(model=needs(image=needs(mode={"const": "copy"})))
    single = needs(replicas={"const": 1}, autoscaling=needs(kind={"const": "none"}))
    weights = [
        when(
            {"allOf": [exported, needs(triton=needs(flavour={"const": flavour}))]},
            needs(model=needs(export=needs(precision={"enum": ["", *precisions]}))),
        )
        for flavour, precisions in (("cpu", PRECISIONS["cpu"]), ("gpu", PRECISIONS["cuda"]))
    ]
    given = needs(image=needs(repository=GIVEN), id=GIVEN, revision=GIVEN)
    return [
        when(image, needs(model=needs(image=needs(reference=GIVEN)))),
        when({"allOf": [image, copied]}, needs(model=needs(path=GIVEN))),  # not the system too
        when(
            needs(model=needs(source={"const": "claim"})),
            needs(model=needs(claim=needs(name=GIVEN))),
        ),
        when(exported, needs(model=needs(export=given))),
        when({"allOf": [exported, once]}, needs(triton=single)),
        *weights,
    ]


def conditions() -> list[Schema]:
    """As a schema can say it; what wants a sentence is in templates/_checks.tpl."""
    true, has_some = {"const": True}, {"minItems": 1}
    scaled = needs(triton=needs(autoscaling=needs(kind={"enum": ["keda", "hpa"]})))
    keda = needs(triton=needs(autoscaling=needs(kind={"const": "keda"})))
    scraped = needs(monitoring=needs(serviceMonitor=needs(enabled=true)))
    isolated = needs(networkPolicy=needs(enabled=true))
    return [
        *model_conditions(),
        when(
            needs(gateway=needs(autoscaling=needs(enabled=true))),
            needs(gateway=needs(resources=needs(requests=needs(cpu={})))),
        ),
        when(
            needs(gateway=needs(config=needs(cache={"const": "redis"}))),
            needs(
                gateway={
                    **needs(secretConfig=needs(redisUrl={})),
                    "anyOf": [
                        needs(secretConfig=needs(cacheSecret={})),
                        needs(config=needs(cacheSecretFile={})),
                    ],
                }
            ),
        ),
        when(
            needs(triton=needs(flavour={"const": "cpu"})),
            needs(triton=needs(gpu=needs(resourceClaimTemplate=NOBODY))),
        ),
        when(scaled, needs(triton=needs(capacityTokensPerSecond={"exclusiveMinimum": 0}))),
        when(keda, needs(triton=needs(autoscaling=needs(prometheusAddress=GIVEN)))),
        when(needs(ingress=needs(enabled=true)), needs(ingress=needs(hosts=has_some))),
        when(needs(httpRoute=needs(enabled=true)), needs(httpRoute=needs(parentRefs=has_some))),
        when(scaled, scraped),  # whose labels the queries ask for
        when(needs(monitoring=needs(rules=needs(enabled=true))), scraped),
        when(scaled, needs(monitoring=needs(serviceMonitor=needs(interval=OFTEN)))),
        when(needs(monitoring=needs(dashboard=needs(enabled=true))), scraped),
        when({"allOf": [scraped, isolated]}, needs(networkPolicy=needs(metricsFrom=has_some))),
    ]
