"""Sums of usage logs, and what is wrong with them."""

from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from gateway.usage.report import FIELDS, Sums, add_up, find_files
from tests.gateway.clock import Clock
from tests.gateway.usage.logs import MORNING, files, open_log, use


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two keys, two models, over two days, by two processes one of which was sent back in time."""
    clock = Clock(MORNING)
    path = tmp_path / "log"
    path.mkdir()
    for run in range(2):
        clock.now = MORNING + run
        log = open_log(path, clock, file_bytes=1000)
        for number in range(20):
            clock.now = MORNING + (20 - number) * 3600
            log.write(use(number, key=f"key{number % 2}", model=f"model{number // 10}"))
        log.close()
    return path


def test_sums_are_exact(folder: Path) -> None:
    report = add_up(find_files([folder]), ["key", "model"])
    assert report.groups == {
        ("key0", "model0"): Sums(10, 10, 2 * (0 + 2 + 4 + 6 + 8)),
        ("key1", "model0"): Sums(10, 10, 2 * (1 + 3 + 5 + 7 + 9)),
        ("key0", "model1"): Sums(10, 10, 2 * (10 + 12 + 14 + 16 + 18)),
        ("key1", "model1"): Sums(10, 10, 2 * (11 + 13 + 15 + 17 + 19)),
    }
    assert report.total() == Sums(40, 40, 2 * sum(range(20)))
    assert (report.damaged, report.twice, report.missing) == ([], 0, 0)


@pytest.mark.parametrize(
    ("since", "until", "calls"),
    [
        ("2026-11-27", "", 10),
        ("", "2026-11-27", 30),
        ("2026-11-26T10:00:00", "2026-11-26T12:00:00", 4),
        ("2026-11-28", "", 0),
    ],
)
def test_a_time_is_from_its_first_moment_to_before_its_last(
    folder: Path, since: str, until: str, calls: int
) -> None:
    report = add_up(find_files([folder]), ["day"], since, until)
    assert (report.total().calls, report.missing) == (calls, 0)


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_can_be_summed_by(folder: Path, field: str) -> None:
    report = add_up(find_files([folder]), [field])
    assert report.total() == Sums(40, 40, 2 * sum(range(20)))


def test_a_copy_of_a_folder_counts_nothing_twice(folder: Path, tmp_path: Path) -> None:
    copy = copytree(folder, tmp_path / "copy")
    report = add_up(find_files([folder, copy, folder]), ["key"])
    assert (report.total().calls, report.twice) == (40, 40)


def test_a_line_torn_by_a_loss_of_power_is_told_and_not_counted(folder: Path) -> None:
    torn = files(folder)[0]
    torn.write_bytes(torn.read_bytes()[:-30])
    report = add_up(find_files([folder]), ["key"])
    assert report.total().calls == 39
    assert report.damaged == [(torn, len(torn.read_bytes().splitlines()))]


def test_a_record_between_others_that_is_nowhere_is_told(folder: Path) -> None:
    middle = files(folder)[1]
    lines = middle.read_bytes().splitlines(keepends=True)
    middle.write_bytes(b"".join(lines[1:]))
    assert add_up(find_files([folder]), ["key"]).missing == 1


def test_whatever_stands_in_a_file_is_read_to_its_end(folder: Path) -> None:
    noise = np.random.default_rng(10).bytes(100_000)
    (folder / "usage-noise.jsonl").write_bytes(noise)
    report = add_up(find_files([folder]), ["key"])
    assert report.total().calls == 40
    assert len(report.damaged) == noise.count(b"\n") + (not noise.endswith(b"\n"))


@pytest.mark.parametrize("place", ["", "absent"])
def test_a_place_without_a_log_is_a_sentence(tmp_path: Path, place: str) -> None:
    with pytest.raises(OSError, match=r"holds no usage log|is no file and no folder"):
        find_files([tmp_path / place])
