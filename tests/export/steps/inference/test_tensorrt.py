"""What TensorRT is told, and where its engines are kept; nothing here runs one."""

import os
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest

from export.steps.inference.device import Device
from export.steps.inference.tensorrt import (
    ENGINE_CACHE,
    engine_folder,
    engine_key,
    provider_options,
)

DEVICE = Device("NVIDIA H100 80GB HBM3", "9.0", 80 * 2**30, cuda="13.0", driver="580.65.06")


def test_engines_are_named_by_all_that_they_depend_on() -> None:
    version = onnxruntime.__version__
    key = (
        f"NVIDIA-H100-80GB-HBM3_sm9.0_driver580.65.06_cuda13.0_onnxruntime{version}_tensorrt10.16.1"
    )
    assert key == engine_key(DEVICE, "10.16.1")
    others = [
        replace(DEVICE, name="NVIDIA H200"),
        replace(DEVICE, capability="9.1"),
        replace(DEVICE, driver=""),
        replace(DEVICE, cuda="13.1"),
    ]
    keys = {engine_key(device, "10.16.1") for device in [DEVICE, *others]}
    assert len({*keys, engine_key(DEVICE, "10.16.2")}) == len(others) + 2


def test_a_name_of_a_device_stays_within_the_folder() -> None:
    key = engine_key(replace(DEVICE, name="../a/b  c"), "10.0.0")
    assert "/" not in key
    assert " " not in key


def test_engines_are_kept_beside_the_model(tmp_path: Path) -> None:
    assert tmp_path / "engines" == engine_folder(tmp_path, {})


def test_engines_that_were_built_ahead_are_found_in_a_folder_for_all(tmp_path: Path) -> None:
    assert Path("/cache") == engine_folder(tmp_path, {ENGINE_CACHE: "/cache"})
    assert tmp_path / "engines" == engine_folder(tmp_path, {ENGINE_CACHE: ""})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_beside_a_model_that_is_read_only_they_are_in_the_users_cache(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    cache = {"XDG_CACHE_HOME": "/caches"}
    assert Path("/caches/triton-embeddings/engines") == engine_folder(tmp_path, cache)


def test_a_model_that_is_not_there_is_not_written_to(tmp_path: Path) -> None:
    cache = {"XDG_CACHE_HOME": "/caches"}
    found = engine_folder(tmp_path / "nowhere", cache)
    assert Path("/caches/triton-embeddings/engines") == found


@pytest.mark.parametrize(
    ("precision", "flags"), [("fp16", ("1", "0")), ("bf16", ("0", "1")), ("fp32", ("0", "0"))]
)
def test_an_engine_has_the_precision_of_its_model(precision: str, flags: tuple[str, str]) -> None:
    options = provider_options(1, precision, Path("/engines"))
    assert flags == (options["trt_fp16_enable"], options["trt_bf16_enable"])
    assert "1" == options["device_id"]
    assert {"/engines"} == {options[f"trt_{cache}_cache_path"] for cache in ("engine", "timing")}
