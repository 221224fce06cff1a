"""A Secret that changes, as a container sees it."""

from pathlib import Path

from tests.fleet.mounted_secrets import write_secret


def test_a_changed_secret_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    for text in ("one", "two"):
        write_secret(folder, {"keys.toml": text})
        assert (folder / "keys.toml").read_text() == text
    assert (folder / "keys.toml").readlink() == Path("..data/keys.toml")
    assert len([one for one in folder.iterdir() if one.is_dir() and not one.is_symlink()]) == 1
