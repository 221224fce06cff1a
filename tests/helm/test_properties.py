"""Whatever the schema lets through is installed and starts; what is refused is refused by place."""

import os
import re

from helm_python import HelmError
from hypothesis import given, settings

from gateway.settings import Settings
from tests.helm.chart import Values, environment, render
from tests.helm.drawing import changed_values
from tests.helm.faults import faults
from tests.helm.faults.pods import security_faults
from tests.helm.faults.schemas import schema_faults

EXAMPLES = int(os.environ.get("EXAMPLES", "0"))  # others each time; else the same few


@given(changed_values())
@settings(max_examples=EXAMPLES or 30, derandomize=not EXAMPLES, deadline=None, database=None)
def test_values_are_refused_by_their_place_or_good(values: Values) -> None:
    said = refusal(values)
    if said is not None:
        assert re.search(r"at '/[a-z]|: [a-z]+\.[a-zA-Z.]+ ", said), said
        return
    manifests = render(values)
    assert list(faults(manifests)) == []
    assert list(security_faults(manifests)) == []
    assert list(schema_faults(manifests, "1.37")) == []
    Settings.from_environ(environment(manifests))


def refusal(values: Values) -> str | None:
    try:
        render(values)
    except HelmError as error:
        return str(error)
    return None
