"""What Triton is told by its environment."""

import os
import sys
from pathlib import Path

import pytest

from gateway.local.triton_environment import LIBPYTHON, environment

NEEDED = {
    "HOME": "/home/me",
    "LANG": "C.UTF-8",
    "LC_ALL": "C",
    "TZ": "Europe/Berlin",
    "TMPDIR": "/big",
    "LD_PRELOAD": "libjemalloc.so",
    "MALLOC_CONF": "narenas:1",
    "MALLOC_ARENA_MAX": "2",
    "GLIBC_TUNABLES": "glibc.malloc.arena_max=1",
    "OMP_NUM_THREADS": "2",
    "OPENBLAS_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
    "CUDA_VISIBLE_DEVICES": "0",
    "NVIDIA_VISIBLE_DEVICES": "all",
    "PYTHONPATH": "/mine",
}
SECRETS = [
    "API_KEY",
    "GATEWAY_API_KEYS",
    "GATEWAY_API_KEYS_FILE",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "OPENAI_API_KEY",
    "NVIDIA_API_KEY",
    "NGC_API_KEY",
    "GITHUB_TOKEN",
    "DATABASE_URL",
    "http_proxy",
    "SSH_AUTH_SOCK",
    "PASSWORD",
    "MAKEFLAGS",
    "PYTHONSTARTUP",
]


def test_triton_learns_no_secret() -> None:
    told = environment(NEEDED | dict.fromkeys(SECRETS, "te-secret"))
    assert "te-secret" not in told.values()


def test_triton_learns_what_is_set_on_purpose() -> None:
    told = environment(NEEDED)
    assert {name: told.get(name) for name in NEEDED} == NEEDED


def test_triton_finds_this_interpreter_first() -> None:
    told = environment({"PATH": "/mine", "LD_LIBRARY_PATH": "/libraries"})
    assert told["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/mine"]
    *ours, libraries = told["LD_LIBRARY_PATH"].split(os.pathsep)
    assert libraries == "/libraries"
    assert all((Path(folder) / LIBPYTHON).exists() for folder in ours)
    assert environment({})["PATH"] == str(Path(sys.executable).parent)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENIZERS_PARALLELISM", "false"),
        ("RAYON_NUM_THREADS", "1"),
        ("ORT_DISABLE_TELEMETRY", "1"),
        ("HF_HUB_DISABLE_TELEMETRY", "1"),
        ("DO_NOT_TRACK", "1"),
    ],
)
def test_the_steps_are_quiet_and_single_minded(name: str, value: str) -> None:
    assert environment({name: "0"})[name] == value


def test_it_is_taken_from_the_environment_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("GATEWAY_API_KEYS", "te-secret")
    told = environment()
    assert told["OMP_NUM_THREADS"] == "3"
    assert "te-secret" not in told.values()
