"""What is rendered fits together and is locked down, whatever is switched on; a mistake is seen."""

import pytest

from tests.helm.broken.manifests import MUTANTS, Mutant
from tests.helm.chart import changed, render
from tests.helm.faults import faults
from tests.helm.faults.pods import security_faults
from tests.helm.faults.schemas import CUSTOM, schema_faults
from tests.helm.variants import VARIANTS


@pytest.mark.parametrize("kubernetes", ["1.30", "1.33", "1.37"])
@pytest.mark.parametrize("name", VARIANTS)
def test_kubernetes_knows_every_key(name: str, kubernetes: str) -> None:
    """By its schemas, which have no image volume and no claim of a device before 1.31."""
    values = VARIANTS[name]
    if kubernetes == "1.30" and values["model"]["source"] == "image":
        values = changed(values, {"model.path": "models", "model.image.mode": "copy"})
        values["triton"].pop("gpu", None)
    assert list(schema_faults(render(values), kubernetes)) == []


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_rendered_fits_together(name: str) -> None:
    assert list(faults(render(VARIANTS[name]))) == []


@pytest.mark.parametrize("name", VARIANTS)
def test_every_pod_is_restricted(name: str) -> None:
    assert list(security_faults(render(VARIANTS[name]))) == []


# A few mistakes in what operators define are seen by their schemas alone: make chart.
@pytest.mark.parametrize(
    "mutant", [one for one in MUTANTS if one.kind not in CUSTOM], ids=lambda mutant: mutant.what
)
def test_a_mistake_in_a_manifest_is_seen(mutant: Mutant) -> None:
    manifests = mutant.manifests()
    of_schema = list(schema_faults(manifests, "1.37"))
    assert of_schema + list(security_faults(manifests)) + list(faults(manifests))


def test_every_mistake_is_another() -> None:
    assert len({one.what for one in MUTANTS}) == len(MUTANTS)
