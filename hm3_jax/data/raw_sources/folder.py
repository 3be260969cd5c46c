"""A plain folder tree: SPLIT/THEME/MUSEUM/ROOM/*.jpg and description.txt.

    train/seascapes/harbour museum/description.txt
    train/seascapes/harbour museum/room 1/view 1.jpg
    train/seascapes/harbour museum/room 1/description.txt
    train/seascapes/harbour museum/room 1/images/painting.png
    train/seascapes/harbour museum/room 1/videos/clip.mp4

A museum has one description, or each of its rooms has one, or both. All of these names
but those of themes, museums and rooms may be in capitals.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hm3_jax.data.museum import SPLITS
from hm3_jax.data.picture_formats import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from hm3_jax.data.raw_museum import RawMuseum, RawRoom
from hm3_jax.data.raw_sources.common import (
    InputRoot,
    LeftOut,
    RawSet,
    entry_of,
    listing,
    only_complete,
)
from hm3_jax.files.text import read_text

DESCRIPTION = "description.txt"

_HUNG = {"images": PICTURE_SUFFIXES, "videos": VIDEO_SUFFIXES}
_KNOWN = PICTURE_SUFFIXES | VIDEO_SUFFIXES


def read_folder(folder: Path, *, root: Path | None = None) -> RawSet:
    """Reads a folder tree; museums, rooms and pictures are in natural order.

    Args:
        folder: Folder with the folders of splits.
        root: The input root; `folder` if None.

    Returns:
        The museums. A museum's id is the name of its folder. Its description is one
        text: its own, then its rooms' in their order, a blank line between.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If a folder at the top is no split, a file lies where folders
            belong, a text is in no known encoding, or two museums have one name.
    """
    tree = _Tree(InputRoot([folder], root))
    museums: list[RawMuseum] = []
    places: dict[str, Path] = {}
    for split in tree.folders(folder, f"the splits {', '.join(SPLITS)}"):
        name = split.name.lower()
        if name not in SPLITS:
            raise ValueError(
                f"{split}: expected a folder named {', '.join(SPLITS)}, found "
                f"{split.name!r}"
            )
        for theme in tree.folders(split, "themes"):
            for place in tree.folders(theme, "museums"):
                museums.append(tree.museum(place, name, theme.name))
                other = places.setdefault(place.name, place)
                if other != place:
                    raise ValueError(
                        f"{place}: expected every museum's name once, found it at "
                        f"{other} too"
                    )
    kept, notes = only_complete(museums)
    return RawSet(tree.root.path, kept, notes=(*notes, *tree.left_out.notes()))


class _Tree:
    """Reads parts of the tree and remembers what it left out."""

    def __init__(self, root: InputRoot):
        self.root = root
        self.left_out = LeftOut()

    def folders(self, folder: Path, what: str) -> list[Path]:
        found = self._listing(folder)
        files = [path for path in found if not path.is_dir()]
        for path in files:
            if path.suffix.lower() in _KNOWN or path.name.lower() == DESCRIPTION:
                raise ValueError(f"{path}: expected folders of {what}, found a file")
        self.left_out.unused(files)
        return [path for path in found if path.is_dir()]

    def museum(self, place: Path, split: str, theme: str) -> RawMuseum:
        found = self._listing(place)
        rooms = [
            path for path in found if path.is_dir() and path.name.lower() not in _HUNG
        ]
        texts = [_text(place)]
        if not rooms:
            # A small museum needs no folder for its only room.
            rooms = [place]
        else:
            texts += map(_text, rooms)
            for path in (path for path in found if path not in rooms):
                if path.name.lower() in _HUNG or path.suffix.lower() in _KNOWN:
                    raise ValueError(
                        f"{path}: expected pictures and videos in the folders of "
                        "rooms, found them beside these"
                    )
                if path.name.lower() != DESCRIPTION:
                    self.left_out.unused([path])
        return RawMuseum(
            id=place.name,
            split=split,
            theme=theme,
            description="\n\n".join(text for text in texts if text),
            rooms=tuple(map(self._room, rooms)),
        )

    def _room(self, place: Path) -> RawRoom:
        files: dict[str, list[str]] = {"views": [], "images": [], "videos": []}
        for path in self._listing(place):
            name = path.name.lower()
            if path.is_dir() and name in _HUNG:
                self._sort(self._listing(path), {name: _HUNG[name]}, files)
            elif path.is_dir():
                raise ValueError(
                    f"{path}: expected pictures, or folders named images and videos, "
                    "in a room, found another folder"
                )
            elif name != DESCRIPTION:
                self._sort(
                    [path],
                    {"views": PICTURE_SUFFIXES, "videos": VIDEO_SUFFIXES},
                    files,
                )
        return RawRoom(**{kind: tuple(paths) for kind, paths in files.items()})

    def _sort(
        self,
        paths: Sequence[Path],
        suffixes: dict[str, frozenset[str]],
        files: dict[str, list[str]],
    ) -> None:
        for path in paths:
            for kind, known in suffixes.items():
                if path.suffix.lower() in known and path.is_file():
                    files[kind].append(self.root.relative(path))
                    break
            else:
                self.left_out.unused([path])

    def _listing(self, folder: Path) -> list[Path]:
        return self.left_out.without_misnamed(listing(folder))


def _text(place: Path) -> str:
    """The text of a folder's description, empty if it has none."""
    path = entry_of(place, DESCRIPTION)
    return read_text(path).strip() if path and path.is_file() else ""
