"""Both Helms as people run them: the programs, beside the engine as a library of the tests."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import yaml

from tests.helm.chart import FOLDER, NAME, NAMESPACE, WORKED, Manifest, Values, render
from tests.helm.tools.report import Check, Checked
from tests.helm.variants import VARIANTS

KUBERNETES = ("1.30", "1.33", "1.35", "1.37")
TOO_OLD = "1.29"
HELMS = ("helm3", "helm4")

Made = TypeVar("Made")
Given = TypeVar("Given")


def on_all_cores(work: Callable[[Given], Made], given: Iterable[Given]) -> list[Made]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, given))


def call(
    site: Path, helm: str, *arguments: str, values: Values | None = None
) -> tuple[int, str, str]:
    """Exit status, output and complaints of a Helm; its homes are below `site` too."""
    homes = {f"HELM_{what}_HOME": str(site / "home" / what) for what in ("CACHE", "CONFIG", "DATA")}
    done = subprocess.run(
        [site / helm / "helm", *arguments, *([] if values is None else ["--values", "-"])],
        input=json.dumps(values),
        env={"PATH": os.environ["PATH"], **homes},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def version(site: Path, helm: str) -> str:
    program = [str(site / helm / "helm"), "version", "--template", "{{ .Version }}"]
    return "Helm " + subprocess.check_output(program, text=True).removeprefix("v")


def lint(site: Path, helm: str) -> Checked:
    """`helm lint --strict` of the worked values."""

    def fault(case: tuple[Path, str]) -> str | None:
        file, kubernetes = case
        arguments = ("lint", str(FOLDER), "--strict", "--kube-version", kubernetes)
        code, said, _ = call(site, helm, *arguments, values=yaml.safe_load(file.read_text()))
        return f"{file.name} on {kubernetes}: {said}" if code else None

    cases = [
        (file, kubernetes)
        for file in WORKED
        for kubernetes in KUBERNETES
        if refusal(yaml.safe_load(file.read_text()), kubernetes) is None
    ]
    found = tuple(filter(None, on_all_cores(fault, cases)))
    what = f"lint --strict: {len(WORKED)} worked files by Kubernetes, {len(cases)} times"
    return Checked(version(site, helm), what, found)


def template(
    site: Path, helm: str, values: Values, kubernetes: str, chart: str = str(FOLDER)
) -> tuple[list[Manifest] | None, str]:
    """Manifests in an order of their own, or None and why not."""
    arguments = ("template", NAME, chart, "--namespace", NAMESPACE)
    code, text, said = call(
        site, helm, *arguments, "--kube-version", f"{kubernetes}.0", values=values
    )
    if code:
        return None, said
    return ordered(one for one in yaml.load_all(text, yaml.CSafeLoader) if one), said


def ordered(manifests: Iterable[Manifest]) -> list[Manifest]:
    return sorted(manifests, key=lambda one: (one["kind"], one["metadata"]["name"]))


def refusal(values: Values, kubernetes: str) -> str | None:
    """A word of why a Kubernetes is too old for some values; None if it is not."""
    minor = int(kubernetes.removeprefix("1."))
    if minor < 30:
        return "kubeVersion"
    model = values["model"]
    mode = model.get("image", {}).get("mode", "volume")
    if (model["source"], mode) == ("image", "volume") and minor < 33:
        return "image needs Kubernetes 1.33"
    if values["triton"].get("gpu", {}).get("resourceClaimTemplate") and minor < 31:
        return "resourceClaimTemplate needs Kubernetes 1.31"
    return None


def templates(site: Path, helm: str) -> Checked:
    """`helm template` of every variant gives what the engine of the tests gives, or refuses."""

    def fault(case: tuple[str, str]) -> str | None:
        name, kubernetes = case
        manifests, said = template(site, helm, VARIANTS[name], kubernetes)
        refused = refusal(VARIANTS[name], kubernetes)
        if refused is not None:
            right = manifests is None and refused in said
            return None if right else f"{name} on {kubernetes} is not refused by {refused!r}"
        if manifests is None:
            return f"{name} on {kubernetes}: {said}"
        same = manifests == ordered(render(VARIANTS[name]))
        return None if same else f"{name} on {kubernetes} is not what the tests render"

    cases = [(name, kubernetes) for name in VARIANTS for kubernetes in (TOO_OLD, *KUBERNETES)]
    found = tuple(filter(None, on_all_cores(fault, cases)))
    refused = sum(refusal(VARIANTS[name], kubernetes) is not None for name, kubernetes in cases)
    alike = f"{len(VARIANTS)} variants by Kubernetes, {len(cases) - refused} times as in the tests"
    return Checked(version(site, helm), f"template: {alike}, {refused} refused", found)


def package(site: Path, helm: str) -> Checked:
    """The archive renders what the folder renders."""
    code, said, complaint = call(site, helm, "package", str(FOLDER), "--destination", str(site))
    if code:
        return Checked(version(site, helm), "package", (complaint,))
    (archive,) = re.findall(r"saved it to: (\S+)", said)
    values = VARIANTS["cpu-values"]
    manifests, complaint = template(site, helm, values, KUBERNETES[-1], archive)
    same = manifests == ordered(render(values))
    what = f"package: {Path(archive).stat().st_size // 1024} KiB, which render the same"
    return Checked(version(site, helm), what, () if same else (complaint or "other manifests",))


def openshift(site: Path, helm: str) -> Checked:
    """No pod asks for a group where each namespace has its own; elsewhere the export does."""
    asking = {}
    for known in ("v1", "security.openshift.io/v1"):
        arguments = ("template", NAME, str(FOLDER), "--api-versions", known)
        code, text, said = call(site, helm, *arguments, values=VARIANTS["exported"])
        asking[known] = said if code else text.count("fsGroup:")
    what = "template: a group for volumes, but none on OpenShift"
    right = asking == {"v1": 1, "security.openshift.io/v1": 0}
    return Checked(version(site, helm), what, () if right else (str(asking),))


CHECKS: list[Check] = [
    partial(check, helm=helm) for helm in HELMS for check in (lint, templates, package, openshift)
]
