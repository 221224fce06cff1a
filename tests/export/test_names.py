"""Names and folders: one index, read back without loss."""

from itertools import product

import pytest

from export.errors import WrongOption
from export.names import (
    LONGEST_FOLDER,
    STEP_NAMES,
    check_name,
    folder_of,
    id_of,
    names_of,
    short_name,
    step_folder,
    version_of,
)
from export.repository import STEPS

LONGEST = "a" * LONGEST_FOLDER


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mixedbread-ai/mxbai-embed-large-v1", "mixedbread-ai--mxbai-embed-large-v1"),
        ("bge_small.v1", "bge_small.v1"),
        ("org/my--big", "org--my~~big"),
        ("org/my/big", "org--my--big"),
        ("org/a---b", "org--a~~~b"),
        ("org-/m", "org~--m"),
        ("ends-", "ends-"),
    ],
)
def test_a_folder_stands_for_one_id(name: str, folder: str) -> None:
    assert folder == folder_of(name)
    assert name == id_of(folder)


def test_no_two_ids_share_a_folder() -> None:
    words = ["".join(word) for length in range(1, 8) for word in product("a-/", repeat=length)]
    names = [word for word in words if is_name(word)]

    assert names == [id_of(folder_of(name)) for name in names]
    assert len(names) > 100


def is_name(name: str) -> bool:
    try:
        check_name(name, "--alias")
    except WrongOption:
        return False
    return True


@pytest.mark.parametrize("name", ["a", "A/b.c_d-e", "_x", "0", "a..b", LONGEST])
def test_a_name_of_plain_characters_is_served(name: str) -> None:
    check_name(name, "--served-name")


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a/..", "a/../b", ".hidden", "a/.b", "-x", "a/-b", "/a", "a/"),
        *("a//b", "a b", "a,b", "a\nb", "a\n", "a\0b", "a~b", "a@b", "a:b", "a\\b", "a'b", 'a"b'),
        *("modèle", "\uff41", "模型", "a\u200bb", "a%2Fb", f"{LONGEST}b", f"a/{LONGEST[:-2]}"),
    ],
)
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(WrongOption, match=r"^--alias "):
        check_name(name, "--alias")


def test_the_longest_folder_of_a_step_fits_a_file_name() -> None:
    folders = [step_folder(LONGEST, "0" * 12, step) for step in STEPS]

    assert 255 == max(len(folder.encode()) for folder in folders)


def test_a_model_answers_to_its_id_its_short_name_and_its_aliases_once() -> None:
    assert ("org/m", "m", "x") == names_of("org/m", ["x", "m", "x"])
    assert ("m",) == names_of("m", [])
    assert "c" == short_name("a/b/c")


def test_an_edition_is_a_version_of_the_ensemble() -> None:
    assert 177789161760246 == version_of("a1b2c3d4e5f6")
    assert "m@a1b2c3d4e5f6-encoder" == step_folder("m", "a1b2c3d4e5f6", "encoder")


def test_every_step_has_a_name() -> None:
    assert tuple(STEPS) == STEP_NAMES
