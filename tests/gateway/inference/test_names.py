"""Names of models: which means one, and the rule that export and gateway share."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from export import names as exported
from export.errors import WrongOption
from gateway.inference.names import NameIndex, check_name, folder_of_step, names_of, short_name

IDS = ["m", "org/m", "org/my--big", "a/b/c", "org-/m", "a.b_c-d"]


@pytest.mark.parametrize("id_", IDS)
def test_export_and_gateway_give_a_model_the_same_names(id_: str) -> None:
    assert exported.short_name(id_) == short_name(id_)
    assert exported.names_of(id_, ["x", "m"]) == names_of(id_, ["x", "m"])


@pytest.mark.parametrize(
    "name",
    [*IDS, "", ".", "..", "a/../b", "-a", "a//b", "a b", "a~b", "a@b", "\uff41", "a\n", "/a"],
)
def test_export_and_gateway_take_the_same_names(name: str) -> None:
    assert is_refused(exported.check_name, name, "--alias") == is_refused(check_name, name)
    assert is_refused(check_name, name) == (name not in IDS)


def is_refused(check: Callable[..., None], *arguments: str) -> bool:
    try:
        check(*arguments)
    except (ValueError, WrongOption):
        return True
    return False


@pytest.mark.parametrize("id_", IDS)
def test_the_gateway_knows_the_steps_that_an_export_names(id_: str) -> None:
    folder = exported.folder_of(id_)
    for step in exported.STEP_NAMES:
        assert folder == folder_of_step(exported.step_folder(folder, "0123456789ab", step))


@pytest.mark.parametrize(
    "model",
    [
        *("m", "m-encoder", "m@0123456789ab", "@0123456789ab-encoder", "m@0123456789a-encoder"),
        *("m@0123456789abc-encoder", "m@0123456789AB-encoder", "m@0123456789ab-other"),
        *("m@0123456789ab-encoder-2", "m@x@0123456789ab-encoder"),
    ],
)
def test_whatever_is_named_otherwise_is_no_step_of_ours(model: str) -> None:
    assert folder_of_step(model) is None


@dataclass(frozen=True)
class Named:
    id: str
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return names_of(self.id, self.aliases)


A, B, C = Named("one/emb", ("quick",)), Named("two/emb"), Named("quick", ("one/emb", "own"))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("one/emb", [A]),
        ("two/emb", [B]),
        ("emb", [A, B]),
        ("quick", [C]),
        ("own", [C]),
        ("none", []),
        ("", []),
    ],
)
def test_an_id_means_its_model_and_other_names_all_that_have_them(
    name: str, found: list[Named]
) -> None:
    assert found == NameIndex([A, B, C]).find(name)


def test_the_names_of_a_model_are_those_that_mean_it_alone() -> None:
    index = NameIndex([A, B, C])
    assert [["one/emb"], ["two/emb"], ["quick", "own"]] == [index.names_of(m) for m in (A, B, C)]


def test_an_index_of_nothing_finds_nothing() -> None:
    assert [] == NameIndex[Named]().find("m")
