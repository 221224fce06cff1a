"""What is wrong with a set of manifests that no schema sees; nothing, of those of the chart."""

from collections.abc import Iterator

from tests.helm.chart import Manifest
from tests.helm.faults.pods import pod_faults, pods
from tests.helm.faults.product import product_faults
from tests.helm.faults.references import (
    ingress_faults,
    metadata_faults,
    owned_faults,
    policy_faults,
    selector_faults,
    service_faults,
)
from tests.helm.faults.rollouts import rollout_faults
from tests.helm.faults.words import word_faults

OF_ALL = (
    metadata_faults,
    selector_faults,
    service_faults,
    ingress_faults,
    owned_faults,
    policy_faults,
    rollout_faults,
    product_faults,
    word_faults,
)


def faults(manifests: list[Manifest]) -> Iterator[str]:
    """One sentence each, with the manifest that it is about."""
    for pod in pods(manifests):
        for fault in pod_faults(pod):
            yield f"{pod.kind}/{pod.name}: {fault}"
    for check in OF_ALL:
        yield from check(manifests)
