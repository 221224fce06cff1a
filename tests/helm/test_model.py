"""Where Triton's repository comes from: an image, a claim, an export in the cluster."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from export.errors import CheckpointNotFound, ExportError
from tests.checkpoints import make_checkpoint
from tests.helm.chart import (
    NAME,
    NAMESPACE,
    Manifest,
    Values,
    arguments,
    changed,
    container_of,
    environment,
    loaded,
    pick,
    pod_specs,
    render,
    worked,
)
from tests.helm.variants import EXPORT, VARIANTS

EXPORTED = VARIANTS["exported"]


def pod_of(manifests: list[Manifest], kind: str, suffix: str = "") -> Manifest:
    spec: Manifest = pick(manifests, kind, suffix)["spec"]["template"]["spec"]
    return spec


def repository_of(values: Values) -> str:
    """Where Triton looks."""
    (found,) = (one for one in arguments(render(values)) if one.startswith("--model-repository="))
    return found.partition("=")[2]


def repository_volume(values: Values) -> Manifest:
    volumes = pod_of(render(values), "Deployment", "-triton")["volumes"]
    (volume,) = (one for one in volumes if one["name"] == "repository")
    return {key: value for key, value in volume.items() if key != "name"}


def waiting(values: Values) -> Manifest:
    """The one container that is done before Triton starts."""
    (container,) = pod_of(render(values), "Deployment", "-triton")["initContainers"]
    return dict(container)


def exporting(values: Values) -> Manifest:
    (container,) = pod_of(render(values), "Job")["containers"]
    return dict(container)


@pytest.mark.parametrize(("name", "source"), [("gpu", "image"), ("cpu", "persistentVolumeClaim")])
def test_the_model_is_mounted_read_only_from_an_image_or_a_claim(name: str, source: str) -> None:
    values = changed(worked(name), {"model.path": "models/one"})
    mounts = container_of(render(values), "-triton")["volumeMounts"]
    assert source in repository_volume(values)
    assert {"name": "repository", "mountPath": "/repository", "readOnly": True} in mounts
    assert repository_of(values) == "/repository/models/one"
    assert "initContainers" not in pod_of(render(values), "Deployment", "-triton")
    assert not {"Job", "PersistentVolumeClaim"} & {one["kind"] for one in render(values)}


def test_a_copy_needs_no_image_volume() -> None:
    values = VARIANTS["copied"]
    container = waiting(values)
    assert container["image"] == values["model"]["image"]["reference"]
    assert container["command"] == ["cp", "-R", "/models/.", "/repository/"]
    assert repository_volume(values) == {"emptyDir": {"sizeLimit": "8Gi"}}
    assert repository_of(values) == "/repository"


def test_the_export_is_no_hook_that_waits_for_what_waits_for_it() -> None:
    job = pick(render(EXPORTED), "Job")
    assert "annotations" not in job["metadata"]
    assert job["spec"]["activeDeadlineSeconds"] == 7200
    deployment = pick(render(EXPORTED), "Deployment", "-triton")["spec"]
    assert deployment["progressDeadlineSeconds"] > 7200 + 600


def test_what_trying_again_cannot_change_is_not_tried_again() -> None:
    """An unreachable Hub is: it has the exit code of a checkpoint that is not there."""
    spec = pick(render(EXPORTED), "Job")["spec"]
    (refused, evicted) = spec["podFailurePolicy"]["rules"]
    codes = {error.exit_code for error in ExportError.__subclasses__()}
    assert set(refused["onExitCodes"]["values"]) == codes - {CheckpointNotFound.exit_code}
    assert refused["onExitCodes"]["containerName"] == exporting(EXPORTED)["name"]
    assert evicted["action"] == "Ignore"
    assert spec["backoffLimit"] == 2


def test_the_notes_name_the_job() -> None:
    for values, named in ((EXPORTED, True), (worked("cpu"), False)):
        (notes,) = (
            text
            for path, text in loaded().render(values, name=NAME, namespace=NAMESPACE).items()
            if path.endswith("NOTES.txt")
        )
        assert (f"logs --follow job/{job_name(EXPORTED)}" in notes) == named


def test_triton_serves_what_the_job_writes_when_it_is_there() -> None:
    folder = repository_of(EXPORTED)
    assert exporting(EXPORTED)["command"][3] == folder == waiting(EXPORTED)["command"][3]
    claim = pick(render(EXPORTED), "PersistentVolumeClaim")["metadata"]["name"]
    for volumes in (
        pod_of(render(EXPORTED), "Job")["volumes"],
        pod_of(render(EXPORTED), "Deployment", "-triton")["volumes"],
    ):
        assert {"name": "repository", "persistentVolumeClaim": {"claimName": claim}} in volumes
    for container in (waiting(EXPORTED), container_of(render(EXPORTED), "-triton")):
        mounts = [one for one in container["volumeMounts"] if one["name"] == "repository"]
        assert [one["readOnly"] for one in mounts] == [True]


def test_the_claim_outlives_the_release() -> None:
    claim = pick(render(EXPORTED), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert "storageClassName" not in claim["spec"]
    chosen = pick(render(VARIANTS["exported once"]), "PersistentVolumeClaim")["spec"]
    assert (chosen["storageClassName"], chosen["accessModes"]) == ("fast", ["ReadWriteOnce"])


def test_a_claim_of_ones_own_is_written_to() -> None:
    values = changed(EXPORTED, {"model.claim": {"name": "mine"}})
    assert "PersistentVolumeClaim" not in [one["kind"] for one in render(values)]
    assert repository_volume(values) == {"persistentVolumeClaim": {"claimName": "mine"}}


OTHER_MODELS: list[Values] = [
    {"model.export.id": "org/other"},
    {"model.export.revision": "f" * 40},
    {"model.export.precision": "int8"},
    {"model.export.servedName": "other"},
    {"model.export.aliases": ["other"]},
    {"model.export.extraArgs": ["--matryoshka"]},
    {"model.export.image.digest": "sha256:" + "0" * 64},
]
SAME_MODEL: list[Values] = [
    {"model.export.resources": {"limits": {"memory": "16Gi"}}},
    {"model.export.scheduling": {"nodeSelector": {"pool": "big"}}},
    {"model.export.tokenSecret": {"name": "hub", "key": "token"}},
]


@pytest.mark.parametrize("changes", OTHER_MODELS, ids=lambda one: next(iter(one)))
def test_another_model_has_a_folder_and_a_job_of_its_own(changes: Values) -> None:
    """So the one before stays, and a rollback finds it."""
    other = changed(EXPORTED, changes)
    assert repository_of(other) != repository_of(EXPORTED)
    assert job_name(other) != job_name(EXPORTED)


@pytest.mark.parametrize("changes", SAME_MODEL, ids=lambda one: next(iter(one)))
def test_what_changes_no_model_makes_another_job_and_no_other_triton(changes: Values) -> None:
    """A Job cannot be changed, and no Triton should start again for it."""
    other = changed(EXPORTED, changes)
    assert job_name(other) != job_name(EXPORTED)
    assert pod_of(render(other), "Deployment", "-triton") == pod_of(
        render(EXPORTED), "Deployment", "-triton"
    )


def job_name(values: Values) -> str:
    name: str = pick(render(values), "Job")["metadata"]["name"]
    return name


def test_the_export_is_what_the_values_say() -> None:
    given = exporting(VARIANTS["exported once"])["command"][4:]
    assert given[:5] == [EXPORT["id"], "--revision", EXPORT["revision"], "--target", "cuda"]
    assert " ".join(given[5:]) == (
        "--precision fp16 --served-name mxbai-large --alias mxbai --alias large --matryoshka"
    )
    assert exporting(EXPORTED)["command"][4:] == [*given[:4], "cpu"]


def test_a_token_comes_from_a_secret_and_the_proxy_from_the_values() -> None:
    variables = {one["name"]: one for one in exporting(VARIANTS["exported once"])["env"]}
    assert variables["HF_TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert variables["HTTPS_PROXY"]["value"] == "http://proxy:443"
    assert "HF_TOKEN" not in str(exporting(EXPORTED))


def test_only_the_export_reaches_the_hub() -> None:
    policy = pick(render(EXPORTED), "NetworkPolicy", "-export")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    names, hub = policy["egress"]
    assert {port["port"] for port in names["ports"]} == {53, 5353}
    assert hub == {"ports": [{"port": 443, "protocol": "TCP"}]}
    assert "egress" not in pick(render(EXPORTED), "NetworkPolicy", "-triton")["spec"]
    others = pick(render(VARIANTS["exported once"]), "NetworkPolicy", "-export")["spec"]["egress"]
    assert others[2:] == VARIANTS["exported once"]["model"]["export"]["extraEgress"]


def test_the_export_runs_where_triton_does_unless_told_otherwise() -> None:
    changes = {f"triton.{key}": value for key, value in SCHEDULED.items()}
    pods = dict(pod_specs(render(changed(changed(worked("gpu"), _source()), changes))))
    (job,) = (spec for name, spec in pods.items() if "-export-" in name)
    (triton,) = (spec for name, spec in pods.items() if name.endswith("-triton"))
    for key in ("nodeSelector", "tolerations", "priorityClassName"):
        assert job[key] == triton[key]
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in job[
        "tolerations"
    ]
    assert "affinity" not in job


SCHEDULED: dict[str, Any] = {
    "scheduling": {
        "nodeSelector": {"pool": "gpu"},
        "tolerations": [{"key": "pool", "operator": "Exists"}],
        "priorityClassName": "high",
    }
}


def _source() -> Values:
    return {"model": {"source": "export", "export": EXPORT}}


def test_a_claim_of_one_node_takes_the_export_to_triton() -> None:
    """Else each could hold the claim against the other."""
    job = pod_of(render(VARIANTS["exported once"]), "Job")
    (rule,) = job["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    triton = pick(render(VARIANTS["exported once"]), "Deployment", "-triton")["spec"]["selector"]
    assert rule == {"topologyKey": "kubernetes.io/hostname", "labelSelector": triton}
    assert job["affinity"]["nodeAffinity"] == {}


def test_the_claim_belongs_to_a_group_that_the_export_is_in() -> None:
    assert pod_of(render(EXPORTED), "Job")["securityContext"]["fsGroup"] == 1000
    chosen = changed(EXPORTED, {"model.export.podSecurityContext": {"fsGroup": 5678}})
    assert pod_of(render(chosen), "Job")["securityContext"]["fsGroup"] == 5678


def program(container: Manifest, folder: Path, *further: str) -> list[str]:
    """The command of a container, for a folder of this machine, with other words behind it."""
    python, flag, script, place, *given = container["command"]
    assert (python, flag, place) == ("python3", "-c", repository_of(EXPORTED))
    return [sys.executable, "-c", script, str(folder), *(further or given)]


def started(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={}
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finish(folder: Path) -> None:
    (folder / "org--model").mkdir(parents=True)
    (folder / "org--model" / "manifest.json").write_text("{}")


def test_triton_waits_for_the_manifest_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "0123abcd"
    with started(program(waiting(EXPORTED), folder)) as process:
        line = said(process)
        assert f"waiting for {folder}/*/manifest.json" in line
        assert "component=export" in line
        finish(folder)
        assert said(process) == f"{folder} is there"
        assert process.wait(30) == 0


def test_waiting_ends_with_the_deadline_or_the_pod(tmp_path: Path) -> None:
    with started(program(waiting(EXPORTED), tmp_path, "0")) as process:
        _, why = process.communicate(timeout=30)
        assert (process.returncode, why.startswith("gave up after 0 s")) == (1, True)
    with started(program(waiting(EXPORTED), tmp_path)) as process:
        assert said(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143


def test_an_export_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    finish(tmp_path)
    with started(program(exporting(EXPORTED), tmp_path)) as process:
        assert said(process) == f"{tmp_path} holds the export already"
        assert process.wait(30) == 0


@pytest.mark.slow
def test_the_job_exports_what_triton_waits_for(tmp_path: Path) -> None:
    """A checkpoint of this machine stands for that of the Hub, which has no revision."""
    checkpoint = make_checkpoint(tmp_path / "tiny", "bert-cls")
    given = [str(checkpoint), *exporting(EXPORTED)["command"][7:]]
    assert given[1:] == ["--target", "cpu"]
    folder = tmp_path / "repository" / "0123abcd"
    done = subprocess.run(
        program(exporting(EXPORTED), folder, *given),
        env={"HOME": str(tmp_path), "PATH": ""},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with started(program(waiting(EXPORTED), folder, "0")) as process:
        assert said(process) == f"{folder} is there"


def test_the_export_asks_nobody_but_the_hub() -> None:
    variables = {one["name"]: one.get("value") for one in exporting(EXPORTED)["env"]}
    assert variables["HF_HUB_DISABLE_TELEMETRY"] == variables["ORT_DISABLE_TELEMETRY"] == "1"
    assert environment(render(EXPORTED), "-triton")["ORT_DISABLE_TELEMETRY"] == "1"
