"""The museum list: `museums.jsonl`, and `artworks.jsonl` beside it.

One museum a line, as JSON:

    {"id", "split", "theme", "description", "rooms": [{"views", "images", "videos"}]}

and one artwork a line in the optional second file, `{"id", "path", "title", ...}`,
whose ids may stand for files among a room's images and videos. `docs/museum_list.md`
has it all; `hm3_jax/data/schemas/` has it as JSON Schema. Faults are named as
"FILE:LINE: expected ..., found ...".
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from hm3_jax.data.raw_museum import (
    RawArtwork,
    RawMuseum,
    RawRoom,
    artwork_from_json,
    artwork_to_json,
    check_path,
    museum_from_json,
    museum_to_json,
)
from hm3_jax.files.durable import whole_or_absent, whole_or_as_before
from hm3_jax.files.input_kinds import ARTWORK_KINDS, artworks_of
from hm3_jax.files.json_files import parse_json
from hm3_jax.files.lines import write_lines
from hm3_jax.files.text import read_text

__all__ = [
    "ARTWORKS",
    "MUSEUMS",
    "MuseumFiles",
    "RawArtwork",
    "RawMuseum",
    "RawRoom",
    "read_artworks",
    "read_museum_files",
    "write_museum_files",
]

MUSEUMS = "museums.jsonl"
ARTWORKS = "artworks.jsonl"

_Item = TypeVar("_Item", RawMuseum, RawArtwork)


@dataclasses.dataclass(frozen=True)
class MuseumFiles:
    """A museum list that has been read and checked.

    Attributes:
        source: The file of museums.
        root: The input root: an absolute folder that every file lies in.
        museums: The museums, in the order of the file.
        artworks: The artworks by id.
    """

    source: Path
    root: Path
    museums: tuple[RawMuseum, ...]
    artworks: Mapping[str, RawArtwork]
    # Following links takes long, and there are many files in a folder.
    _folders: dict[str, Path] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def path_of(self, reference: str) -> Path:
        """The file of an artwork id, or of a path relative to the input root.

        Links are followed, so there is one path for a file; whether it exists is not
        asked.

        Args:
            reference: An entry of a room's views, images or videos.

        Returns:
            An absolute path.

        Raises:
            ValueError: If it lies outside the input root.
        """
        artwork = self.artworks.get(reference)
        path = reference if artwork is None else artwork.path
        check_path(path, f"{self.source}")
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self._inside(self.root / folder)
        file = self._folders[folder] / name
        if name in ("", ".") or os.path.islink(file):
            return self._inside(file)
        return file

    def _inside(self, place: Path) -> Path:
        """The place with links followed; refuses one outside the root."""
        target = place.resolve()
        if not target.is_relative_to(self.root):
            raise ValueError(
                f"{place}: expected a place in the input root {self.root}, found a "
                f"link to {target}"
            )
        return target


def read_museum_files(path: Path, *, root: Path | None = None) -> MuseumFiles:
    """Reads a museum list, and `artworks.jsonl` beside it if there is one.

    Args:
        path: The file of museums.
        root: Folder that paths are relative to and must not leave; the list's own
            folder if None.

    Raises:
        FileNotFoundError: If there is no such file, or no such folder as `root`.
        ValueError: If a line is not what it should be, an id occurs twice, a room
            refers to an unknown artwork, or there is no museum.
    """
    root = (path.parent if root is None else root).resolve()
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: expected a folder, the input root")
    artworks: dict[str, RawArtwork] | None = None
    if (path.parent / ARTWORKS).exists():
        artworks = read_artworks(path.parent / ARTWORKS)
    museums = _read_items(path, museum_from_json)
    for where, museum in museums:
        _check_references(museum, artworks, where)
    if not museums:
        raise ValueError(f"{path}: expected at least one museum, found none")
    return MuseumFiles(
        source=path,
        root=root,
        museums=tuple(museum for _, museum in museums),
        artworks=artworks or {},
    )


def read_artworks(path: Path) -> dict[str, RawArtwork]:
    """Reads a file of artworks.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is not what it should be, or an id occurs twice.
    """
    return {artwork.id: artwork for _, artwork in _read_items(path, artwork_from_json)}


def write_museum_files(
    folder: Path,
    museums: Iterable[RawMuseum],
    artworks: Iterable[RawArtwork] = (),
    *,
    replace: bool = False,
) -> None:
    """Writes a museum list, completely or not at all.

    Args:
        folder: Folder to make for it.
        museums: The museums; at least one.
        artworks: The artworks; without any, there is no `artworks.jsonl`.
        replace: Whether a list that is there may go.

    Raises:
        FileExistsError: If `folder` exists and is not to be replaced.
        ValueError: If `read_museum_files` would refuse the list.
    """
    there = (
        whole_or_as_before(folder)
        if replace
        else whole_or_absent(folder, "a museum list")
    )
    with there as partial:
        lines = [json.dumps(artwork_to_json(a), ensure_ascii=False) for a in artworks]
        if lines:
            write_lines(partial / ARTWORKS, lines)
        lines = [json.dumps(museum_to_json(m), ensure_ascii=False) for m in museums]
        write_lines(partial / MUSEUMS, lines)
        try:
            read_museum_files(partial / MUSEUMS)
        except ValueError as error:
            text = str(error).replace(str(partial), str(folder))
            raise ValueError(text) from None


def _read_items(
    path: Path, parse: Callable[[object, str], _Item]
) -> list[tuple[str, _Item]]:
    """The items of a file of JSON lines, each with its place, "FILE:LINE"."""
    items: list[tuple[str, _Item]] = []
    places: dict[str, str] = {}
    for where, value in _read_lines(path):
        item = parse(value, where)
        if item.id in places:
            line = places[item.id].rpartition(":")[2]
            raise ValueError(
                f"{where}: expected every id once, found {item.id!r}, which line "
                f"{line} has"
            )
        places[item.id] = where
        items.append((where, item))
    return items


def _read_lines(path: Path) -> Iterator[tuple[str, object]]:
    """The parsed lines of a file, each with its place; blank lines are skipped."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a file of JSON lines, found none")
    # Not splitlines: that cuts at characters which JSON has inside of strings.
    for number, line in enumerate(read_text(path).split("\n"), 1):
        where = f"{path}:{number}"
        if line.strip():
            yield where, parse_json(line, where, strict=True)


def _check_references(
    museum: RawMuseum, artworks: Collection[str] | None, where: str
) -> None:
    """Refuses ids of no artwork. `artworks` is None where there is no such file."""
    for number, room in enumerate(museum.rooms):
        here = f"{where}: museum {museum.id!r}, room {number}"
        for path in room.views:
            if artworks is not None and path in artworks:
                raise ValueError(
                    f"{here}, views: expected paths of pictures, found {path!r}, an "
                    f"artwork's id; if a file has this name, write './{path}'"
                )
        for kind in ARTWORK_KINDS:
            for reference in artworks_of(room, kind):
                if artworks is None:
                    _check_looks_like_path(reference, f"{here}, {kind}")
                elif reference not in artworks:
                    _check_known(reference, f"{here}, {kind}")


def _check_known(reference: str, where: str) -> None:
    if "/" not in reference:
        raise ValueError(
            f"{where}: expected an id of {ARTWORKS}, found {reference!r}; if it is a "
            f"file, write './{reference}'"
        )
    check_path(reference, where)


def _check_looks_like_path(reference: str, where: str) -> None:
    if "/" not in reference and "." not in reference:
        raise ValueError(
            f"{where}: expected a path (ids take an {ARTWORKS} beside the list), found "
            f"{reference!r}"
        )
    check_path(reference, where)
