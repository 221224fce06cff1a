"""What the values of one place ask of those of another, as a part of the schema."""

from typing import Any

Schema = dict[str, Any]

GIVEN: Schema = {"type": "string", "minLength": 1}
NOBODY: Schema = {"maxLength": 0}


def needs(**properties: Any) -> Schema:
    """Values that are given, and as these schemas say; nested by dictionaries without a type."""
    return {"required": list(properties), "properties": properties}


def when(condition: Schema, consequence: Schema) -> Schema:
    return {"if": condition, "then": consequence}


def conditions() -> list[Schema]:
    """What the values of one place ask of those of another."""
    true, has_some = {"const": True}, {"minItems": 1}
    secret_given = {"existingSecret": {"minLength": 1}}
    keda = needs(triton=needs(autoscaling=needs(kind={"const": "keda"})))
    scraped = needs(monitoring=needs(serviceMonitor=needs(enabled=true)))
    isolated = needs(networkPolicy=needs(enabled=true))
    return [
        when(
            needs(model=needs(source={"const": "image"})),
            needs(model=needs(image=needs(reference=GIVEN))),
        ),
        when(
            needs(model=needs(source={"const": "claim"})),
            needs(model=needs(claim=needs(name=GIVEN))),
        ),
        when(  # keys from one place
            needs(gateway=needs(auth=needs(mode={"const": "required"}))),
            needs(
                gateway=needs(
                    auth={
                        "oneOf": [
                            needs(**secret_given, keys={"maxItems": 0}),
                            needs(existingSecret=NOBODY, keys=has_some),
                        ]
                    }
                )
            ),
        ),
        when(  # keys that nobody asks for are a mistake
            needs(gateway=needs(auth=needs(mode={"const": "off"}))),
            needs(gateway=needs(auth=needs(existingSecret=NOBODY, keys={"maxItems": 0}))),
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
        when(
            keda,
            needs(
                triton=needs(
                    capacityTokensPerSecond={"exclusiveMinimum": 0},
                    autoscaling=needs(prometheusAddress=GIVEN),
                )
            ),
        ),
        when(needs(ingress=needs(enabled=true)), needs(ingress=needs(host=GIVEN))),
        when(needs(httpRoute=needs(enabled=true)), needs(httpRoute=needs(parentRefs=has_some))),
        when(keda, scraped),  # whose labels the queries ask for
        when({"allOf": [scraped, isolated]}, needs(networkPolicy=needs(metricsFrom=has_some))),
    ]
