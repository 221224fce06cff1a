"""How the kubelet of `make fleet` reads probes and counts what they say."""

from tests.fleet.probes import Probe, Verdict
from tests.helm.chart import container_of, render, worked


def test_a_probe_holds_until_it_failed_so_often_in_a_row() -> None:
    verdict = Verdict(True, failure_threshold=3)
    said = [verdict.note(succeeded) for succeeded in (False, False, True, False, False, False)]
    assert said == [True, True, True, True, True, False]


def test_one_success_makes_it_hold_again() -> None:
    verdict = Verdict(False, failure_threshold=3)
    assert [verdict.note(succeeded) for succeeded in (False, True, False)] == [False, True, True]


def test_probes_are_read_as_the_chart_renders_them() -> None:
    manifests = render(worked("cpu"))
    ready = Probe.read(container_of(manifests, "-gateway"), "readiness")
    assert ready == Probe("http://{address}:9090/health/ready", (), 5, 2, 3, None)
    alive = Probe.read(container_of(manifests, "-triton"), "liveness", faster=10)
    assert alive.command[:2] == ("python3", "-c")
    assert (alive.url, alive.period_seconds, alive.timeout_seconds) == ("", 3, 25)
    assert alive.grace_seconds == 20
