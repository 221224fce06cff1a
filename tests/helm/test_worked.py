"""Sizes of the worked values follow from what was measured and from what is documented."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

from export.serving import BESIDE_A_GPU
from tests.helm.chart import WORKED, arguments, container_of, pick, render, worked
from tests.helm.faults.quantities import amount

BENCHMARKS = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()
MIB, GIB = 2**20, 2**30
BERT_LARGE = 335e6  # weights
TEXT = 65  # tokens
NAMES = [file.stem.removesuffix("-values") for file in WORKED]


def row(table: str, name: str) -> list[str]:
    """Cells of a row of the benchmarks, of the table whose head begins so."""
    _, found, rest = BENCHMARKS.partition(f"| {table} ")
    assert found
    (line,) = re.findall(rf"^\| {re.escape(name)} (.*) \|$", rest.split("\n\n")[0], re.MULTILINE)
    return [cell.strip() for cell in line.strip("| ").split("|")]


def millions_of_tokens() -> float:
    """Of a BERT-large on the GPU that was measured, mixed lengths, as it is served."""
    return float(row("peer, mixed lengths", "ours, millions of tokens/s")[1])


def texts_of_a_gateway() -> float:
    """A second, of 1024 dimensions: what was measured was 768."""
    measured = row("| tokens/s, millions | texts/s", "BERT-base, random weights")[1]
    return float(measured.replace(" ", "")) * 768 / 1024


def memory_limit(name: str) -> float:
    limits = container_of(render(worked(name)), "-triton")["resources"]["limits"]
    return float(amount(limits["memory"]))


def shared_memory(name: str) -> float:
    volumes = pick(render(worked(name)), "Deployment", "-triton")["spec"]["template"]["spec"]
    (size,) = (
        one["emptyDir"]["sizeLimit"]
        for one in volumes["volumes"]
        if one.get("emptyDir", {}).get("medium") == "Memory"
    )
    return float(amount(size))


def test_the_capacity_is_what_was_measured() -> None:
    capacity = worked("autoscaling")["triton"]["capacityTokensPerSecond"]
    assert capacity == pytest.approx(millions_of_tokens() * 1e6)


def test_gateways_suffice_for_all_tritons() -> None:
    spec = {
        name: pick(render(worked("autoscaling")), kind, f"-{name}")["spec"]
        for name, kind in (("gateway", "HorizontalPodAutoscaler"), ("triton", "ScaledObject"))
    }
    texts = spec["triton"]["maxReplicaCount"] * millions_of_tokens() * 1e6 / TEXT
    target: dict[str, Any] = spec["gateway"]["metrics"][0]["resource"]["target"]
    wanted = texts / (texts_of_a_gateway() * target["averageUtilization"] / 100)
    assert spec["gateway"]["maxReplicas"] == math.ceil(wanted)
    assert texts_of_a_gateway() > millions_of_tokens() * 1e6 / TEXT  # of the file for one GPU


def test_memory_on_cpus_holds_weights_twice_work_and_shared_memory() -> None:
    """docs/operations.md#memory; the export's own bound is 512 MiB a thread."""
    values = worked("cpu")["triton"]["resources"]
    threads = int(values["requests"]["cpu"])
    others = 0.5 * GIB
    needed = 2 * 4 * BERT_LARGE + threads * 512 * MIB + shared_memory("cpu") + others
    assert needed <= memory_limit("cpu") < needed + GIB


@pytest.mark.parametrize("name", NAMES)
def test_shared_memory_suffices_for_the_steps(name: str) -> None:
    """Of the export's defaults: an encoder, four tokenizers and two quantizers beside a GPU."""
    beside = {"tokenizers": 1, "quantizers": 1} if name == "cpu" else BESIDE_A_GPU
    processes = 1 + sum(beside.values())
    (size,) = (one for one in arguments(render(worked(name))) if "shm-default-byte-size" in one)
    assert shared_memory(name) >= 64 * MIB + processes * int(size.rpartition("=")[2])
    assert shared_memory(name) < memory_limit(name)
