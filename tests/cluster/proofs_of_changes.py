"""What an upgrade must not do: take away what runs, reset what an autoscaler chose, deadlock."""

from base64 import b64decode
from functools import partial

import yaml

from tests.cluster.api import place, wait_for
from tests.cluster.autoscaling import define_metrics, define_operators, report_usage
from tests.cluster.cluster import Cluster
from tests.cluster.helm import SOON, WAIT, HelmError
from tests.cluster.namespaces import create_storage
from tests.cluster.transcript import fails
from tests.helm.chart import Values, changed, worked
from tests.helm.tools.engines import HELMS
from tests.helm.variants import EXPORT

CPU = worked("cpu")
FLEET = changed(
    CPU,
    {
        "gateway.autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 8},
        "triton.capacityTokensPerSecond": 1000,
        "monitoring.serviceMonitor.enabled": True,
        "networkPolicy.metricsFrom": [{"namespaceSelector": {}}],
        "triton.autoscaling": {"kind": "keda", "prometheusAddress": "http://prometheus:9090"},
    },
)


def prove_broken_image(cluster: Cluster) -> None:
    fact = cluster.transcript.fact
    helm = cluster.team("broken")
    helm.install("e", cluster.chart, CPU)
    before = two_of_each(cluster, "broken")
    with fact("an upgrade to images that cannot be pulled fails") as say:
        broken = changed(CPU, {"gateway.image.tag": "broken", "triton.image.tag": "broken"})
        fails(HelmError, partial(helm.upgrade, "e", cluster.chart, broken, *SOON))
        gateways = set(cluster.ready_pods("broken", "gateway")) & set(before)
        tritons = set(cluster.ready_pods("broken", "triton")) & set(before)
        say(f"{len(gateways)} of 2 gateways and {len(tritons)} of 2 Tritons go on")
        assert (2, 1) == (len(gateways), len(tritons))
    with fact("a rollback mends it"):
        helm.run("rollback", "e", "1", *WAIT)
        mended = two_of_each(cluster, "broken")
        assert set(mended.values()) == set(before.values())
        assert gateways | tritons <= set(mended)
    cluster.remove("broken")


def two_of_each(cluster: Cluster, namespace: str) -> dict[str, str]:
    """The ready gateways and Tritons."""
    gateways = cluster.wait_for_pods(namespace, "gateway")
    return gateways | cluster.wait_for_pods(namespace, "triton")


def prove_autoscaling(cluster: Cluster) -> None:
    fact = cluster.transcript.fact
    define_metrics(cluster.admin)
    define_operators(cluster.admin)
    helm = cluster.team("scaled")
    helm.install("e", cluster.chart, FLEET)
    with fact("the HorizontalPodAutoscaler starts two gateways, and four at twice its target"):
        report_usage(cluster, "scaled", cluster.wait_for_pods("scaled", "gateway", 2), "1400m")
        cluster.wait_for_pods("scaled", "gateway", 4)
    with fact("who scales as KEDA does makes three Tritons of one"):
        triton = place("deployments", "scaled", "e-triton-embeddings-triton")
        cluster.admin.merge(f"{triton}/scale", {"spec": {"replicas": 3}})
        cluster.wait_for_pods("scaled", "triton", 3)
    for version in ("helm4", "helm3"):
        with fact(f"an upgrade by {version} leaves four gateways and three Tritons"):
            again = cluster.helm("scaled", version)
            again.upgrade("e", cluster.chart, changed(FLEET, {"gateway.image.tag": version}))
            cluster.wait_for_pods("scaled", "gateway", 4, version)
            counts = [
                cluster.one("deployments", "scaled", component)["spec"]["replicas"]
                for component in ("gateway", "triton")
            ]
            assert counts == [4, 3], counts
    cluster.remove("scaled")


def prove_keys(cluster: Cluster) -> None:
    fact = cluster.transcript.fact
    helm = cluster.team("keys")
    helm.install("e", cluster.chart, CPU)
    before = cluster.wait_for_pods("keys", "gateway")
    with fact("an upgrade with another key changes the Secret, and no pod"):
        key: Values = {"name": "second", "digest": "sha256:" + "0" * 64}
        helm.upgrade("e", cluster.chart, changed(CPU, {"gateway.auth.keys": [key]}))
        (secret,) = cluster.list("secrets", "keys", "gateway")
        assert b'"second"' in b64decode(secret["data"]["keys.toml"])
        assert before == cluster.wait_for_pods("keys", "gateway")
    cluster.remove("keys")


def prove_export(cluster: Cluster) -> None:
    """The claim is bound when its first pod is scheduled, which a hook could never see."""
    fact = cluster.transcript.fact
    helm = cluster.team("export")
    create_storage(cluster.admin, "late")
    export = EXPORT | {"storage": {"className": "late"}}
    values = changed(CPU, {"model": {"source": "export", "export": export}})
    with fact("the export, its claim and the Tritons that wait for it do not wait for each other"):
        helm.install("e", cluster.chart, values)
        (job,) = cluster.list("jobs", "export")
        assert job["status"]["succeeded"] == 1
    with fact("an upgrade of gateways and Tritons leaves the Job that has run"):
        other = {"gateway.image.tag": "2", "triton.image.tag": "2"}
        helm.upgrade("e", cluster.chart, changed(values, other))
        assert job["metadata"]["uid"] == cluster.list("jobs", "export")[0]["metadata"]["uid"]
    with fact("another revision, or exporter, is another Job, and a rollback goes back"):
        names = {job["metadata"]["name"]}
        for path, value in {"revision": "f" * 40, "image.tag": "2"}.items():
            helm.upgrade("e", cluster.chart, changed(values, {f"model.export.{path}": value}))
            (other_job,) = cluster.list("jobs", "export")
            names.add(other_job["metadata"]["name"])
        assert len(names) == 3, names
        helm.run("rollback", "e", "1", *WAIT)
        (again,) = cluster.list("jobs", "export")
        assert job["metadata"]["name"] == again["metadata"]["name"]
    for version in HELMS:
        with fact(f"{version} adopts the Job of an export that was made before the upgrade"):
            later = changed(values, {"model.export.revision": version[-1] * 40})
            adopting = cluster.helm("export", version)
            shown = ("--show-only", "templates/model/export.yaml")
            (made,) = yaml.safe_load_all(
                adopting.apply("template", "e", cluster.chart, later, *shown)
            )
            uid = cluster.admin.create(place("jobs", "export"), made)["metadata"]["uid"]
            adopting.upgrade("e", cluster.chart, later, "--take-ownership")
            (only,) = cluster.list("jobs", "export")
            assert only["metadata"]["uid"] == uid
    with fact("uninstall leaves the claim with what was exported"):
        helm.run("uninstall", "e", "--wait")
        wait_for(lambda: not cluster.list("pods", "export"), "no pod of the release")
        (claim,) = cluster.list("persistentvolumeclaims", "export", "export")
        assert claim["status"]["phase"] == "Bound"
    cluster.remove("export")
