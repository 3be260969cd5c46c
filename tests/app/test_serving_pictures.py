"""What is said at the start of a server whose pictures it cannot show."""

import warnings
from pathlib import Path

import pytest

from hm3_jax.app.serving import listed_pictures, warn_of_missing
from hm3_jax.data.museum_jsonl import (
    RawMuseum,
    RawRoom,
    read_museum_files,
    write_museum_files,
)
from tests.extraction.museum_folder import write_picture


class Everything:
    """An index that has every museum."""

    def rows(self, ids: list[str]) -> dict[str, int]:
        return {museum: row for row, museum in enumerate(ids)}


def said(folder: Path, root: Path) -> list[str]:
    listed = read_museum_files(folder / "museums.jsonl", root=root)
    pictures = listed_pictures(Everything(), listed, folder)  # pyright: ignore
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_missing(pictures, listed)
    return [str(warning.message) for warning in caught]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A list of three pictures, in another folder than these."""
    pytest.importorskip("PIL")
    write_picture(tmp_path / "pictures" / "a.png", 1)
    write_picture(tmp_path / "pictures" / "b.tga", 2)
    room = RawRoom(("a.png", "b.tga"), videos=("c.mp4",))
    write_museum_files(
        tmp_path / "list", [RawMuseum("m", "test", "t", ("Sea.",), (room,))]
    )
    return tmp_path / "list"


def test_pictures_that_are_not_found_are_said(folder: Path) -> None:
    (line,) = said(folder, folder)
    assert line == (
        f"of 3 pictures of the museum list, 3 are not found below {folder}, such as "
        "a.png: the list's paths are relative to --input_root"
    )


def test_those_that_browsers_do_not_show_are_said(folder: Path) -> None:
    gone, unshown = said(folder, folder.parent / "pictures")
    assert gone.startswith("of 3 pictures of the museum list, 1 is not found below")
    assert "such as c.mp4: the list" in gone
    assert unshown == (
        "of 3 pictures of the museum list, 1 is in a format that browsers do not show, "
        "such as b.tga"
    )
