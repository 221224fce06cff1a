"""What the chart renders, run on one machine as a cluster would run it, and faults under load.

    make fleet, or python -m tests.fleet --only upgrade

Pods are namespaces of this machine; a kubelet of ours runs the probes, hooks and grace periods that
the chart renders, a Deployment controller its strategies, a name server and a real haproxy its
Services. Callers embed known texts without a pause; every vector is compared with what the model's
own files give. Each row of the table is a fault.
"""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.fleet.callers import Load
from tests.fleet.cluster import Cluster
from tests.fleet.faults import Fleet, key_entries
from tests.fleet.images import TRANSLATIONS
from tests.fleet.namespaces import CannotRun, enter, make_network
from tests.fleet.scrapes import Scrapes
from tests.fleet.table import HEAD, Row
from tests.helm.chart import Values, changed, worked
from tests.triton.fleet import SIZES, Revision, make_revision

AROUND_SECONDS = 5.0  # of load before and after a fault


def values_with(keys: Mapping[str, str]) -> Values:
    """The worked file for CPUs, with the keys of the callers."""
    return changed(
        worked("cpu"), {"gateway.auth.keys": key_entries(keys), "model.path": "models-32"}
    )


def make_models(folder: Path) -> list[Revision]:
    """Two revisions, and beside them a folder `broken` that no Triton loads."""
    revisions = [make_revision(folder, size) for size in SIZES]
    shutil.copytree(revisions[0].repository, folder / "broken")
    for file in (folder / "broken").rglob("model.onnx"):
        file.write_bytes(file.read_bytes()[:-1])
    return revisions


async def show(folder: Path, options: argparse.Namespace) -> bool:
    """Prints a row for each fault; whether nothing failed and nothing was wrong."""
    me = asyncio.current_task()
    assert me is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    make_network()
    models = folder / "models"
    models.mkdir()
    load = Load.make({one.edition: one.vectors for one in make_models(models)})
    keys = {caller.name: f"key of {caller.name}" for caller in load.callers}
    for caller in load.callers:
        caller.use(keys[caller.name])
    cluster = Cluster(folder, models, options.faster, options.dns_cache)
    fleet = Fleet(cluster, load, values_with(keys), keys)
    faults, words = fleet.faults(), options.only.split(",")
    chosen = [name for name in faults if any(word in name for word in words)] * options.repeat
    if not chosen:
        print(f"no fault has {options.only} in its name, but there are: {', '.join(faults)}")
        return False
    await cluster.apply(fleet.values)
    scrapes = Scrapes(cluster)
    running = asyncio.create_task(cluster.run())
    fleet.tasks.append(running)
    rows = []
    try:
        await fleet.until_whole()
        fleet.tasks += [asyncio.create_task(one.run()) for one in (load, scrapes)]
        print(HEAD)
        for name in chosen:
            rows.append(await Row.measure(name, fleet, faults[name], AROUND_SECONDS))
            print(rows[-1], flush=True)
    finally:
        for task in [*fleet.tasks, *cluster.tasks]:
            task.cancel()
        await asyncio.gather(*fleet.tasks, *cluster.tasks, return_exceptions=True)
        keep(folder, Path(options.output))
    print(f"\n{scrapes}")
    for row in rows:
        for complaint in row.complaints[:5]:
            print(f"{row.name}: {complaint}")
    return all(row.is_harmless for row in rows)


def keep(folder: Path, output: Path) -> None:
    """Keeps what happened and every log."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    for log in [folder / "events", *folder.glob("*/log")]:
        shutil.copy(log, output / (log.name if log.parent == folder else f"{log.parent.name}.log"))


def main(arguments: Sequence[str]) -> int:
    """Exit code 1 if a call failed, a vector was wrong, or no fault was chosen; 2, 130 at once."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only", default="", help="faults with one of these, with commas between, in their name"
    )
    parser.add_argument("--repeat", type=int, default=1, help="times that all come")
    parser.add_argument("--faster", type=float, default=1.0, help="divides periods and waits")
    parser.add_argument(
        "--dns-cache",
        type=float,
        default=0.0,
        help="seconds that an answer of the name server is repeated",
    )
    parser.add_argument("--output", default="build/fleet", help="folder for events and logs")
    options = parser.parse_args(arguments)
    try:
        enter(arguments)
    except CannotRun as error:
        print(error, file=sys.stderr)
        return 2
    for what, here in TRANSLATIONS:
        print(f"{what}: {here}")
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        try:
            return int(not asyncio.run(show(Path(folder), options)))
        except (KeyboardInterrupt, asyncio.CancelledError):
            return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
