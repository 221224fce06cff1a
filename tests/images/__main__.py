"""make images: builds what can be built here, runs it as the chart would, and says what was seen.

    python -m tests.images

Containers are of runc: a read-only root, the image's user or any other of group 0, no capability,
and no network but loopback. Arguments, environment and probes are those that the chart renders.
The images stay in build/images/storage, for buildah to push.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

from export.checkpoint import DEFAULT_PACKAGE
from tests.images.building import PROGRAMS, Builder, resolve_gpu
from tests.images.container import Mount
from tests.images.pod import Parts
from tests.images.report import note, table
from tests.images.storage import BASE, ROOT, CannotBuild, Storage
from tests.images.story import Story

FOLDER = ROOT / "build" / "images"
MODELS = "/repository"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.images")
    parser.add_argument("--built", action="store_true", help="take the images that are there")
    given = parser.parse_args()
    # Whoever ends this ends what it has started too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        storage = Storage(FOLDER, reuse=given.built)
        seconds = storage.make_base()
        note(f"base: made in {seconds:.0f} s" if seconds else "base: there")
        resolve_gpu()
        tell(Builder(storage))
    except CannotBuild as error:
        sys.exit(f"make images: {error}")


def tell(builder: Builder) -> None:
    """All of it, and the table."""
    with ExitStack() as stack:
        images = {name: stack.enter_context(builder.program(name)) for name in PROGRAMS}
        folder = stack.enter_context(scratch(FOLDER))
        story = Story(images, folder)
        story.export(packaged_checkpoint())
        parts = Parts(
            folder,
            gateway=images["gateway"],
            triton=images["triton-cpu"],
            keys=folder / "keys",
            key=story.add_key(folder / "keys"),
            shared_memory=stack.enter_context(scratch(Path("/dev/shm"))),  # noqa: S108
            repository=Mount(story.models, MODELS),
        )
        story.serve(parts)
        model = stack.enter_context(builder.model(story.models, "scratch"))
        story.serve_image(parts, Mount(model.root / "models", MODELS))
        story.copy(stack.enter_context(builder.model(story.models, BASE)))
    print(table(list(rows(builder, story))))


def rows(builder: Builder, story: Story) -> Iterator[dict[str, str]]:
    for name, size in builder.sizes.items():
        started = story.started_seconds.get(name)
        yield {
            "image": name,
            "MB": f"{size.unpacked_bytes / 1e6:.0f}",
            "MB compressed": f"{size.compressed_bytes / 1e6:.0f}" if size.compressed_bytes else "",
            "built in s": f"{size.seconds:.0f}" if size.seconds else "",
            "ready in s": f"{started:.1f}" if started else "",
            "user": size.user,
            "can write": ", ".join(story.writable.get(name, [])),
        }


@contextmanager
def scratch(place: Path) -> Iterator[Path]:
    """A folder that anybody can use, and that is gone in the end."""
    folder = Path(tempfile.mkdtemp(prefix="triton-embeddings-images-", dir=place))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def packaged_checkpoint() -> Path:
    """The folder of all-MiniLM-L6-v2, which needs no Hub.

    Raises: CannotBuild.
    """
    package = find_spec(DEFAULT_PACKAGE)
    if package is None or package.origin is None:
        raise CannotBuild(f"the package {DEFAULT_PACKAGE} is missing: make .venv/serve brings it")
    return Path(package.origin).parent / "model"


if __name__ == "__main__":
    main()
