"""python -m tests.gpu.structures FOLDER: every structure exported for CUDA, tiny, its encoder kept.

What `tests.gpu.card` opens on a GPU; FOLDER/<structure> is a few hundred kilobytes.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers.utils import logging

from export import ExportOptions, Serving, export_model
from tests.checkpoints import ARCHITECTURES, make_checkpoint


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each structure as it is there; those that are there already are kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.structures", description=__doc__)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in ARCHITECTURES:
        if not (options.folder / name).exists():
            keep_encoder(name, options.folder / name)
            print(name, flush=True)
    return 0


def keep_encoder(name: str, place: Path) -> None:
    """The encoder's version folder of an export of one structure, at a place."""
    with TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        manifest = export_model(
            ExportOptions(
                output=models,
                checkpoint=str(make_checkpoint(Path(folder) / name, name)),
                serving=Serving(name, target="cuda"),
                pooling=ARCHITECTURES[name].pooling_option or None,
            ),
            report=lambda line: None,
        ).manifest
        shutil.copytree(models / f"{name}@{manifest.edition}-encoder" / "1", place)


if __name__ == "__main__":
    sys.exit(main())
