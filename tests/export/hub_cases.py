"""What a download ends in, case by case, against the Hub of tests/export/hub_server.py.

`python -m tests.export.hub_cases` prints the table; tests/export/test_hub.py holds it.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tests.export.hub_models import (
    BIG,
    FULL,
    INDEX,
    OLDER,
    PROPOSED,
    REPOSITORIES,
    SHARDS,
    WEIGHTS,
    Repository,
    models,
)
from tests.export.hub_server import (
    STRANGER,
    TOKEN,
    Fault,
    LocalHub,
    local_hub,
)

ROOT = Path(__file__).parents[2]
# huggingface_hub asks a Hub that is away six times in 23 s: nobody should wait for that.
PATIENCE_SECONDS = 20
# The command itself, but for what comes once the files are there, which takes seconds.
PROGRAM = """
import os, resource, sys
from export import __main__ as command
from export.checkpoint import resolve

def export_model(options, report):
    checkpoint = resolve(options.checkpoint, options.revision, report)
    print(f"resolved {checkpoint.revision} in {checkpoint.folder}")
    sys.exit(0)

if limit := int(os.environ.get("LARGEST_FILE", 0)):  # bytes, of any file of this process
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
command.export_model = export_model
sys.exit(command.main())
"""


@dataclass(frozen=True)
class Ended:
    """What a command printed and left, and the bytes that it fetched."""

    code: int
    out: str
    err: str
    fetched_bytes: int


@dataclass(frozen=True)
class Place:
    """A Hub, and a machine with an empty cache."""

    hub: LocalHub
    home: Path

    @property
    def cache(self) -> Path:
        return self.home / "huggingface" / "hub"

    @property
    def file(self) -> Path:
        """A file where a folder is wanted."""
        return self.home / "file"

    def environment(self, **changes: str) -> dict[str, str]:
        """Of a person who has no token and no proxy."""
        inherited = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return inherited | {
            "HOME": str(self.home),
            "HF_HOME": str(self.cache.parent),
            "HF_ENDPOINT": self.hub.endpoint,
            **changes,
        }

    def command(self, *arguments: str) -> list[str]:
        """A download as the command line makes it."""
        return [sys.executable, "-c", PROGRAM, *arguments, "--output", str(self.home / "models")]

    def run(self, *arguments: str, **environment: str) -> Ended:
        self.hub.forget()
        ended = subprocess.run(
            self.command(*arguments),
            cwd=ROOT,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr, self.hub.sent.total())

    def fill(self, told: str) -> str:
        """A sentence with the places of this Hub and machine."""
        return told.format(hub=self.hub.endpoint, cache=self.cache, file=self.file)


@contextmanager
def a_place(home: Path) -> Iterator[Place]:
    with local_hub(models()) as hub:
        hub.renamed["org/former"] = "org/full"
        place = Place(hub, home)
        place.file.touch()
        yield place


@dataclass(frozen=True)
class Case:
    """A download: what was there before, what goes wrong now, and how it ends.

    told     the sentence on stderr; of a download that goes well, the lines on stdout
    fetched  bytes
    """

    checkpoint: str
    told: str
    code: int = 3
    fetched: int = 0
    revision: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    cached: bool = False  # by a download before
    cached_until: dict[str, Fault] = field(default_factory=dict)  # this went wrong in it
    down: bool = False  # the Hub, by now

    def run(self, place: Place) -> Ended:
        asked = [self.checkpoint, *(["--revision", self.revision] if self.revision else [])]
        if self.cached or self.cached_until:
            place.hub.faults = deepcopy(self.cached_until)
            place.run(*asked)
        place.hub.faults = deepcopy(self.faults)
        if self.down:
            place.hub.stop()
        environment = {name: place.fill(value) for name, value in self.environment.items()}
        return place.run(*asked, **environment)


def fetched(checkpoint: str, held: Repository) -> str:
    """What is said of a download of everything."""
    count, size = len(held.needed), tqdm.format_sizeof(held.size_bytes)
    return (
        f"Fetching {count} of {count} files, {size}B, of {checkpoint} at commit {held.commit}\n"
        + resolved(checkpoint, held)
    )


def resolved(checkpoint: str, held: Repository) -> str:
    folder = f"models--{checkpoint.replace('/', '--')}/snapshots/{held.commit}"
    return f"resolved {held.commit} in {{cache}}/{folder}\n"


def well(checkpoint: str, held: Repository | None = None, **more: Any) -> Case:
    """A download of everything that goes well."""
    held = held or REPOSITORIES[checkpoint]
    return Case(checkpoint, fetched(checkpoint, held), 0, held.size_bytes, **more)


BIG_WEIGHTS = len(BIG.needed[WEIGHTS])
BUT_WEIGHTS = FULL.size_bytes - len(FULL.needed[WEIGHTS])
CHUNK = 10 * 2**20  # huggingface_hub writes so many bytes at a time
CUT = 11_000_000
LIMITED = Fault(429, {"Retry-After": "30"})
BROKEN = {WEIGHTS: Fault(cut_after=CUT, reset=True)}
NO_SUCH = "is no folder here, and the Hub shows no such model"
IF_PRIVATE = "if it is private, set HF_TOKEN to a token that may read it"
REVISIONS = "give --revision a branch, a tag, a whole commit or refs/pr/<number>"
NOT_REACHED = "the Hub at {hub} cannot be reached, and "
NOT_OFFLINE = "HF_HUB_OFFLINE is set, and "
NOT_WHOLE = " in {cache} is known to be whole"
UNSET = "unset it, or export a folder"
CHECK = "check the network and the proxy, or export a folder"
FROM_CACHE = f": org/full is what the cache holds, commit {FULL.commit}\n"
CACHED = resolved("org/full", FULL)
NO_HUB = "what answers at {hub} is no Hub: check HF_ENDPOINT and the proxy"

PLAIN = ["shards", "bin", "bin-shards", "potion", "static", "old", "dense", "adapter", "big", "odd"]

CASES = {
    "newest": well("org/full"),
    "branch": well("org/full", OLDER, revision="dev/next"),
    "tag": well("org/full", OLDER, revision="v1.0"),
    "pull request": well("org/full", PROPOSED, revision="refs/pr/38"),
    "commit": well("org/full", OLDER, revision=OLDER.commit),
    **{name: well(f"org/{name}") for name in PLAIN},
    "renamed": Case("org/former", fetched("org/former", FULL), 0, FULL.size_bytes),
    "nothing to read": Case(
        "org/gguf", "org/gguf holds no file that an export reads, neither config.json nor weights"
    ),
    "a module outside": Case(
        "org/escape",
        "modules.json: path '../..' leads out of the checkpoint",
        4,
        len(REPOSITORIES["org/escape"].files["modules.json"]),
    ),
    "a shard too few": Case(
        "org/lost-shard",
        f"{INDEX} names {SHARDS[1]!r}, which is not beside it",
        fetched=len(REPOSITORIES["org/lost-shard"].files[INDEX]),
    ),
    "no such model": Case("org/none", f"org/none {NO_SUCH}: check the name, or, {IF_PRIVATE}"),
    "no such model, token": Case(
        "org/none",
        f"org/none {NO_SUCH} to the token: check the name, or, {IF_PRIVATE}",
        environment={"HF_TOKEN": TOKEN},
    ),
    "neither folder nor id": Case("org/a..b", "org/a..b is neither a folder nor a Hub id"),
    "no such branch": Case(
        "org/full", f"org/full has no revision 'gone': {REVISIONS}", revision="gone"
    ),
    "no such commit": Case(
        "org/full", f"org/full has no revision '{'a' * 40}': {REVISIONS}", revision="a" * 40
    ),
    "private, no token": Case(
        "org/private", f"org/private {NO_SUCH}: check the name, or, {IF_PRIVATE}"
    ),
    "private, token of another": Case(
        "org/private",
        f"org/private {NO_SUCH} to the token: check the name, or, {IF_PRIVATE}",
        environment={"HF_TOKEN": STRANGER},
    ),
    "private, token": well("org/private", environment={"HF_TOKEN": TOKEN}),
    "unknown token": Case(
        "org/full",
        "org/full: the Hub does not know the token; set HF_TOKEN to a valid one, or unset it for "
        "a public model",
        environment={"HF_TOKEN": "hf_forgotten"},
    ),
    "no token at all": Case(
        "org/full",
        "the token holds what no token has: set HF_TOKEN anew",
        environment={"HF_TOKEN": "hf_größe"},
    ),
    "gated, no token": Case(
        "org/gated",
        "org/gated is gated: ask for access on {hub}/org/gated, then set HF_TOKEN to a token of "
        "that account",
    ),
    "gated, token of another": Case(
        "org/gated",
        "org/gated is gated, and the token's account has no access: ask for it on {hub}/org/gated",
        environment={"HF_TOKEN": STRANGER},
    ),
    "gated, token": well("org/gated", environment={"HF_TOKEN": TOKEN}),
    "token may not read": Case(
        "org/full",
        "org/full: the token may not read it; give it that right, or set HF_TOKEN anew",
        faults={"HEAD modules.json": Fault(403)},
        environment={"HF_TOKEN": TOKEN},
    ),
    "forbidden": Case(
        "org/full",
        "org/full: the Hub forbids it; set HF_TOKEN to a token that may read it",
        faults={"api": Fault(403)},
    ),
    "disabled": Case(
        "org/disabled", "org/disabled is disabled on the Hub: export another model, or a folder"
    ),
    "cached": Case("org/full", CACHED, 0, cached=True),
    "Hub down": Case(
        "org/full", f"{NOT_REACHED}no download of org/full{NOT_WHOLE}: {CHECK}", down=True
    ),
    "proxy down": Case(
        "org/full",
        f"{NOT_REACHED}no download of org/full{NOT_WHOLE}: {CHECK}",
        environment={"HTTP_PROXY": "http://127.0.0.1:9"},
    ),
    "Hub down, commit": Case(
        "org/full",
        f"{NOT_REACHED}no download of org/full at {FULL.commit}{NOT_WHOLE}: {CHECK}",
        revision=FULL.commit,
        down=True,
    ),
    "Hub down, cached": Case(
        "org/full",
        "The Hub at {hub} cannot be reached" + FROM_CACHE + CACHED,
        0,
        cached=True,
        down=True,
    ),
    "Hub down, commit cached": Case(
        "org/full", CACHED, 0, revision=FULL.commit, cached=True, down=True
    ),
    "Hub down, part cached": Case(
        "org/big",
        f"{NOT_REACHED}no download of org/big{NOT_WHOLE}: {CHECK}",
        cached_until=BROKEN,
        down=True,
    ),
    "offline": Case(
        "org/full",
        f"{NOT_OFFLINE}no download of org/full{NOT_WHOLE}: {UNSET}",
        environment={"HF_HUB_OFFLINE": "1"},
    ),
    "offline, cached": Case(
        "org/full",
        "HF_HUB_OFFLINE is set" + FROM_CACHE + CACHED,
        0,
        cached=True,
        environment={"HF_HUB_OFFLINE": "1"},
    ),
    "offline, other revision": Case(
        "org/full",
        f"{NOT_OFFLINE}no download of org/full at {OLDER.commit}{NOT_WHOLE}: {UNSET}",
        revision=OLDER.commit,
        environment={"HF_HUB_OFFLINE": "1"},
    ),
    "offline, part cached": Case(
        "org/big",
        f"{NOT_OFFLINE}no download of org/big{NOT_WHOLE}: {UNSET}",
        cached_until=BROKEN,
        environment={"HF_HUB_OFFLINE": "1"},
    ),
    "too many": Case(
        "org/full",
        "the Hub has had too many questions from here: try again in 30 seconds, or set HF_TOKEN, "
        "which raises the limit",
        faults={"api": LIMITED},
    ),
    "too many, token": Case(
        "org/full",
        "the Hub has had too many questions from here: try again in 55 seconds",
        faults={"api": Fault(429, {"ratelimit": '"api";r=0;t=55'})},
        environment={"HF_TOKEN": TOKEN},
    ),
    "too many, cached": Case(
        "org/full",
        "The Hub answers 429" + FROM_CACHE + CACHED,
        0,
        cached=True,
        faults={"api": LIMITED},
    ),
    "too many, for a file": Case(
        "org/full",
        fetched("org/full", FULL),
        0,
        FULL.size_bytes,
        faults={WEIGHTS: Fault(429, {"Retry-After": "0"}, times=1)},
    ),
    "error of the Hub": Case(
        "org/full",
        "the Hub fails by itself (status 500): try again later",
        faults={"api": Fault(500)},
    ),
    "error of the Hub, cached": Case(
        "org/full",
        "The Hub answers 503" + FROM_CACHE + CACHED,
        0,
        cached=True,
        faults={"api": Fault(503)},
    ),
    "error of the Hub, for a file": Case(
        "org/full",
        "the Hub fails by itself (status 503): try again later",
        fetched=BUT_WEIGHTS,
        faults={WEIGHTS: Fault(503)},
    ),
    "silent": Case(
        "org/full",
        "the Hub at {hub} does not answer, or no longer: export org/full again; files that have "
        "come whole are kept",
        faults={"api": Fault(silent=True)},
        environment={"HF_HUB_ETAG_TIMEOUT": "1"},
    ),
    "a page, no answer": Case("org/full", NO_HUB, faults={"api": Fault(html=True)}),
    "another address": Case(
        "org/full",
        "{hub}/elsewhere answers 404 when asked for org/full: check the name and HF_ENDPOINT",
        environment={"HF_ENDPOINT": "{hub}/elsewhere"},
    ),
    "no address": Case(
        "org/full",
        "HF_ENDPOINT 'huggingface.co' does not begin with http:// or https://",
        environment={"HF_ENDPOINT": "huggingface.co"},
    ),
    "broken once": Case(
        "org/big",
        fetched("org/big", BIG),
        0,
        BIG.size_bytes + CUT - CHUNK,
        faults={WEIGHTS: Fault(cut_after=CUT, times=1)},
    ),
    "broken": Case(
        "org/big",
        "the Hub at {hub} does not answer, or no longer: export org/big again; files that have "
        "come whole are kept",
        fetched=BIG.size_bytes - BIG_WEIGHTS + CUT,
        faults=BROKEN,
    ),
    "broken, again": Case(
        "org/big",
        f"Fetching 1 of 9 files, 12.0MB, of org/big at commit {BIG.commit}\n"
        + resolved("org/big", BIG),
        0,
        BIG_WEIGHTS,
        cached_until=BROKEN,
    ),
    "another size": Case(
        "org/full",
        "model.safetensors of org/full came with another size than the Hub announced: export "
        "again; the other files are kept",
        fetched=FULL.size_bytes - 7,
        faults={WEIGHTS: Fault(missing_bytes=7)},
    ),
    "storage of hf_xet fails": Case(
        "org/xet",
        "model.safetensors of org/xet did not come whole from the Hub's storage: export again, "
        "with HF_HUB_DISABLE_XET=1 if a firewall lets only the Hub itself through; the other "
        "files are kept",
        fetched=BUT_WEIGHTS,
    ),
    "disk full": Case(
        "org/big",
        "{cache}: File too large",
        1,
        BIG.size_bytes,
        environment={"LARGEST_FILE": "1000000"},
    ),
    "no cache": Case(
        "org/full",
        "{file}/huggingface/token: Not a directory",
        1,
        environment={"HF_HOME": "{file}/huggingface"},
    ),
}


def main() -> None:
    """Print each case: code, bytes fetched and needed, what was said."""
    print("| case | code | fetched | needed | said |\n| --- | --- | --- | --- | --- |")
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as home, a_place(Path(home)) as place:
            ended = case.run(place)
            told = ended.err.removeprefix("export: ") or ended.out
            told = told.replace(place.hub.endpoint, "HUB").replace(home, "~").strip()
            told = told.replace("\n", "<br>")
            print(f"| {name} | {ended.code} | {ended.fetched_bytes} | {needed(case)} | {told} |")


def needed(case: Case) -> int:
    """Bytes that an export needs of the commit that is asked for."""
    revised = [held for held in (OLDER, PROPOSED) if held.commit in case.told]
    return next(iter(revised), REPOSITORIES.get(case.checkpoint, FULL)).size_bytes


if __name__ == "__main__":
    main()
