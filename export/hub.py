"""A Hub id → the files that an export needs, in huggingface_hub's cache, at one commit.

huggingface_hub asks, resumes and caches; here is decided what is fetched.
"""

import logging
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import filterfalse
from pathlib import Path, PurePosixPath
from typing import Any

import httpx2
from huggingface_hub import (
    HfApi,
    constants,
    get_cached_repo_tree,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    OfflineModeIsEnabled,
    RevisionResolutionError,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder
from huggingface_hub.utils import logging as hub_logging
from tqdm import tqdm
from tqdm.asyncio import tqdm_asyncio

from export.checkpoint_files import is_weights, needed
from export.errors import CheckpointNotFound
from export.hub_errors import explained, explained_file, is_away, why_away

Report = Callable[[str], None]
Look = Callable[[Path], None]


class _Part(tqdm_asyncio):  # type: ignore[type-arg] # has none when it runs
    """What huggingface_hub takes for a bar of its own: shows nothing, and may move another."""

    whole: Any = None

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(disable=True)

    def update(self, n: float | None = 1) -> bool | None:
        """Bytes of a file that are written."""
        return self.whole.update(n) if self.whole is not None else None

    def update_transfer(self, n: float | None = 1) -> None:
        """Bytes that came over the network: the same ones."""

    def set_transfer_postfix_str(self, *_: Any, **__: Any) -> None:
        """Their rate."""


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """One commit of a model, a part of it in the cache."""

    repo_id: str
    commit: str
    folder: Path
    listed: frozenset[str]  # names of all files on the Hub
    sizes: dict[str, int] = field(default_factory=dict)  # bytes of those that had to be fetched

    def names(self, folder: str) -> Collection[str]:
        paths = map(PurePosixPath, self.listed)
        return [path.name for path in paths if path.parent == PurePosixPath(folder)]

    def read(self, name: str) -> bytes:
        self.look_up(name)
        return self.fetch(name, _Part).read_bytes()

    def holds(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def look_up(self, name: str) -> None:
        """Note the size of a file if the cache has it of no commit."""
        if not self.holds(name):
            file = hf_hub_download(self.repo_id, name, revision=self.commit, dry_run=True)
            if file.will_download:
                self.sizes[name] = file.file_size or 0

    def fetch(self, name: str, bar: type[_Part]) -> Path:
        """The file, downloaded unless the cache holds it."""
        with explained_file(self.repo_id, name):
            path = hf_hub_download(self.repo_id, name, revision=self.commit, tqdm_class=bar)
        return Path(path)


def download(repo_id: str, revision: str | None, report: Report, look: Look) -> Path:
    """The folder of a commit in the cache, named by the commit, with all that an export needs.

    report  is told in one line what is fetched, and in one what comes from the cache unasked
    look    is shown the folder when all but the weights is there; what it raises ends the download

    Raises: CheckpointNotFound, UnsupportedModel; OSError if the cache cannot be written.
    """
    with _silence(), explained(repo_id, revision):
        commit, away = _commit(repo_id, revision)
        snapshot = _snapshot(repo_id, commit)
        names = needed(snapshot)
        if not names:
            raise CheckpointNotFound(
                f"{repo_id} holds no file that an export reads, neither config.json nor weights"
            )
        if away and not all(map(snapshot.holds, names)):
            raise away
        if away:
            report(f"{why_away(away)}: {repo_id} is what the cache holds, commit {commit}")
        _fetch(snapshot, names, report, look)
        return snapshot.folder


def _commit(repo_id: str, revision: str | None) -> tuple[str, Exception | None]:
    """The commit of a revision, and what kept the Hub from naming it, if the cache did."""
    api, known = HfApi(), _known_commit(repo_id, revision)
    if known and known == revision:
        return known, None
    try:
        commit = api.model_info(
            repo_id, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT
        ).sha
    except (httpx2.HTTPError, OfflineModeIsEnabled) as error:
        if not known or not is_away(error):
            raise
        return known, error
    if commit != known:
        api.resolve_revision(repo_id, revision=revision)  # remembers it
    return str(commit), None


def _known_commit(repo_id: str, revision: str | None) -> str | None:
    """The commit that the cache remembers for a revision, with the list of its files."""
    try:
        known = HfApi().resolve_revision(repo_id, revision=revision, local_files_only=True).resolved
        get_cached_repo_tree(repo_id, revision=known)
    except (RevisionResolutionError, CachedRepoTreeNotFoundError):
        return None
    return known


def _snapshot(repo_id: str, commit: str) -> _Snapshot:
    """What the Hub holds of a commit; the list is kept, so that the cache knows what it lacks."""
    files: Iterable[RepoFile | RepoFolder]
    try:
        files = get_cached_repo_tree(repo_id, revision=commit)
    except CachedRepoTreeNotFoundError:
        files = HfApi().list_repo_tree(repo_id, recursive=True, revision=commit)
    listed = frozenset(file.path for file in files if isinstance(file, RepoFile))
    folder = snapshot_download(repo_id, revision=commit, allow_patterns=[], tqdm_class=_Part)
    return _Snapshot(repo_id, commit, Path(folder), listed)


def _fetch(snapshot: _Snapshot, names: list[str], report: Report, look: Look) -> None:
    """Download files one after the other: Ctrl-C ends it at once, and the weights come last."""
    for name in names:
        snapshot.look_up(name)
    size_bytes = sum(snapshot.sizes.values())
    if size_bytes:
        report(
            f"Fetching {len(snapshot.sizes)} of {len(names)} files, "
            f"{tqdm.format_sizeof(size_bytes)}B, of {snapshot.repo_id} at commit {snapshot.commit}"
        )
    hidden = constants.HF_HUB_DISABLE_PROGRESS_BARS or not size_bytes or None  # None: no terminal
    with tqdm(
        total=size_bytes, unit="B", unit_scale=True, miniters=1, disable=hidden, leave=False
    ) as whole:
        bar = type("_PartOfWhole", (_Part,), {"whole": whole})
        for name in filterfalse(is_weights, names):
            snapshot.fetch(name, bar)
        look(snapshot.folder)
        for name in filter(is_weights, names):
            snapshot.fetch(name, bar)


@contextmanager
def _silence() -> Iterator[None]:
    """huggingface_hub logs and warns of what ends in a sentence anyway."""
    verbosity = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        hub_logging.set_verbosity(verbosity)
