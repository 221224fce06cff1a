"""An environment in which Triton's python steps find onnxruntime-gpu before onnxruntime.

Triton's stub takes its packages from the environment of the `python3` on its path, and no notice of
PYTHONPATH. So there is one of links: to what this process finds, in the same order.
"""

import sys
import venv
from pathlib import Path

LINKS = "gpu_check.pth"


def make_environment(folder: Path) -> Path:
    """Its Python, which finds packages where this one does."""
    builder = venv.EnvBuilder(symlinks=True, with_pip=False, clear=True)
    builder.create(folder)
    (packages,) = folder.glob("lib/python3.*/site-packages")
    found = [path for path in sys.path if path and Path(path).is_dir()]
    (packages / LINKS).write_text("\n".join(str(Path(path).absolute()) for path in found))
    return folder.absolute() / "bin" / "python"
