"""docs/models.md holds what is named, and a run of a part finds what it says."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints import ARCHITECTURES
from tests.models.comparison import MIN_COSINE, agreement, compare
from tests.models.named import CHECKPOINTS, NOTES, SERVED, STRUCTURES
from tests.models.page import LIBRARIES, cell, count_line
from tests.models.refused import REFUSED, refusal

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/models.md").read_text()
ROWS = {
    name: cells.split(" | ")
    for name, cells in re.findall(r"^\| ([\w.-]+/[\w.-]+) \| (.*) \|$", PAGE, re.MULTILINE)
}


def test_every_checkpoint_is_named_once() -> None:
    assert (
        len(CHECKPOINTS) == len(set(CHECKPOINTS)) == sum(map(len, SERVED.values())) + len(REFUSED)
    )
    assert NOTES.keys() <= STRUCTURES.keys()
    assert SERVED.keys() <= ARCHITECTURES.keys()


def test_the_page_has_them_all_with_their_structures() -> None:
    assert CHECKPOINTS == list(ROWS)
    assert STRUCTURES == {name: ROWS[name][1] for name in STRUCTURES}
    assert not [name for name in STRUCTURES if float(ROWS[name][2]) > 1 - MIN_COSINE]


def test_the_page_and_the_readme_count_them() -> None:
    line = count_line(len(STRUCTURES), len(REFUSED))
    assert line in PAGE
    assert line in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_page_is_of_the_pinned_libraries(library: str) -> None:
    (pinned,) = re.findall(
        rf"^{library}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
    assert f"{library} {pinned}" in PAGE


@pytest.mark.parametrize("checkpoint", REFUSED)
def test_a_refusal_names_its_reason(checkpoint: str) -> None:
    assert re.search(REFUSED[checkpoint].reason, ROWS[checkpoint][0])


def test_vectors_agree_in_direction_and_length() -> None:
    found = np.array([[3, 4], [0, 0]], np.float32)

    assert 1 == agreement(found, found, any_length=False)
    assert pytest.approx(1) == agreement(found, found / 5, any_length=True)
    assert 0 == agreement(found, np.array([[4, -3], [0, 0]], np.float32), any_length=False)
    for other in (found / 5, found[:1], found[:, :1]):
        with pytest.raises(AssertionError):
            agreement(found, other, any_length=False)


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["bert-cls", "potion", "specter", "stella-400m"])
def test_a_replica_is_what_sentence_transformers_makes_of_it(
    structure: str, tmp_path: Path
) -> None:
    outcome = compare(structure, tmp_path)

    assert outcome.min_cosine >= MIN_COSINE
    assert ROWS[SERVED[structure][0]][0].startswith(outcome.how)


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint", REFUSED)
def test_a_refusal_is_the_sentence_on_the_page(checkpoint: str, tmp_path: Path) -> None:
    sentence = refusal(checkpoint, tmp_path)

    assert sentence is not None
    assert ROWS[checkpoint] == [cell(sentence)]
