"""SemArt: paintings with a description each, in three tables and a folder.

A painting becomes an artwork, which other museums may hang by its id, and, so that the
set is of use by itself, a museum of one room with the painting as its only view.
"""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterator
from pathlib import Path

from hm3_jax.data.museum import SPLITS
from hm3_jax.data.raw_museum import RawArtwork, RawMuseum, RawRoom
from hm3_jax.data.raw_sources.common import (
    InputRoot,
    RawSet,
    entry_of,
    one_line,
    only_complete,
)
from hm3_jax.files.text import read_text

_PICTURES = "Images"
_ID, _TITLE, _TEXT, _THEME = "IMAGE_FILE", "TITLE", "DESCRIPTION", "TYPE"


def read_semart(folder: Path, *, root: Path | None = None) -> RawSet:
    """Reads SemArt as published.

    Args:
        folder: Folder with `semart_{train,val,test}.csv` and `Images`.
        root: The input root; `folder` if None.

    Returns:
        Artworks with all columns of their tables, and a museum of each: its theme is
        the painting's TYPE.

    Raises:
        FileNotFoundError: If a folder is missing, or all of the tables are.
        ValueError: If a table is not what it should be.
    """
    input_root = InputRoot([folder], root)
    artworks = read_semart_artworks(folder, input_root)
    museums, notes = only_complete(
        RawMuseum(
            id=artwork.id,
            split=artwork.facts["split"],
            theme=one_line(artwork.facts[_THEME]) or "none",
            description=artwork.facts[_TEXT],
            rooms=(RawRoom((artwork.path,)),),
            title=artwork.title,
        )
        for artwork in artworks
    )
    notes.append(
        "SemArt has no museums: each painting becomes one with one room, themed by "
        f"its {_THEME}"
    )
    return RawSet(input_root.path, museums, artworks, tuple(notes))


def read_semart_artworks(folder: Path, root: InputRoot) -> list[RawArtwork]:
    """Reads SemArt's paintings.

    Args:
        folder: Folder with `semart_{train,val,test}.csv` and `Images`.
        root: The input root.

    Returns:
        One artwork a row: IMAGE_FILE is its id, and its facts are all other columns
        but TITLE, with "split".

    Raises:
        FileNotFoundError: If `Images` is missing, or all of the tables are.
        ValueError: If a table is not what it should be.
    """
    pictures = entry_of(folder, _PICTURES)
    if pictures is None or not pictures.is_dir():
        raise FileNotFoundError(
            f"{folder / _PICTURES}: expected SemArt's pictures, found none"
        )
    artworks = []
    for split in SPLITS:
        table = entry_of(folder, f"semart_{split}.csv")
        for row in _rows(table) if table else ():
            name = row.pop(_ID)
            title = one_line(row.pop(_TITLE))
            artworks.append(
                RawArtwork(
                    id=name,
                    path=root.relative(pictures / name),
                    title=title or None,
                    facts=row | {"split": split},
                )
            )
    if not artworks:
        raise FileNotFoundError(
            f"{folder}: expected semart_train.csv, semart_val.csv or semart_test.csv, "
            "found none"
        )
    return artworks


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a table by column."""
    with io.StringIO(read_text(path)) as file:
        reader = csv.reader(file, delimiter="\t")
        try:
            columns = next(reader, [])
            missing = {_ID, _TITLE, _TEXT, _THEME} - set(columns)
            if missing:
                raise ValueError(
                    f"{path}: expected the columns {_ID}, {_TITLE}, {_TEXT}, {_THEME} "
                    f"between tabs, found {', '.join(map(repr, columns))}"
                )
            for cells in reader:
                here = f"{path}:{reader.line_num}"
                if len(cells) > len(columns):
                    raise ValueError(
                        f"{here}: expected {len(columns)} cells between tabs, found "
                        f"{len(cells)}"
                    )
                # Cells missing at the end of a row are empty ones.
                cells += [""] * (len(columns) - len(cells))
                row = dict(zip(columns, map(_clean, cells), strict=True))
                if row[_ID]:
                    yield row
                elif any(row.values()):
                    raise ValueError(f"{here}: expected an {_ID}, found none")
        except csv.Error as error:
            raise ValueError(
                f"{path}:{reader.line_num}: expected a row of a table, found {error}"
            ) from None


def _clean(cell: str) -> str:
    return html.unescape(cell).strip()
