"""What Triton and its steps find in their environment: what they need, and no more.

Keys, tokens and passwords of the operator stand in the environment of this process; Triton runs
code of its own, and tells its environment to each of its steps.
"""

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
LIBPYTHON = f"libpython{PYTHON}.so.1.0"

# What an operator sets on purpose: where things are, languages, threads, memory, accelerators.
_PASSED_ON = {
    *("PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONHOME", "PYTHONPATH", "HOME", "TMPDIR"),
    *("LANG", "LANGUAGE", "TZ", "GLIBC_TUNABLES"),
    *("XDG_CACHE_HOME", "TRITON_EMBEDDINGS_ENGINE_CACHE"),
    *("NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_TF32_OVERRIDE"),
}
_PASSED_ON_BEGINNINGS = (
    *("LC_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_"),
    *("MALLOC_", "MIMALLOC_", "TCMALLOC_", "CUDA_", "CUDNN_", "ORT_"),
)
# No step sends anything to anybody: docs/decisions/0017-keys-and-quiet.md.
QUIET = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}


def environment(inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of Triton: this interpreter first, one tokenizer thread a step."""
    passed_on = {
        name: value
        for name, value in inherited.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_BEGINNINGS)
    }
    # Outside of the loader's own search path when Python was built or unpacked by hand.
    folders = [Path(sysconfig.get_config_var("LIBDIR") or ""), Path(sys.base_prefix) / "lib"]
    libpython = next((folder for folder in folders if (folder / LIBPYTHON).exists()), None)
    return passed_on | {
        "PATH": _join(Path(sys.executable).parent, inherited.get("PATH")),
        "LD_LIBRARY_PATH": _join(libpython, inherited.get("LD_LIBRARY_PATH")),
        "TOKENIZERS_PARALLELISM": "false",
        "RAYON_NUM_THREADS": "1",
        **QUIET,
    }


def _join(*folders: Path | str | None) -> str:
    return os.pathsep.join(str(folder) for folder in folders if folder)
