"""A plain folder tree of museums, of their rooms and of these rooms' pictures.

    harbour museum/description.txt
    harbour museum/Calm/view 1.jpg
    harbour museum/Calm/description.txt
    harbour museum/Calm/images/painting.png
    harbour museum/Calm/videos/clip.mp4
    small museum/view 1.jpg

Above the museums there may be folders of themes, and above these folders of the splits
train, val and test. A museum may have one description, or each of its rooms may have
one, or both. All of these names but those of themes, museums and rooms may be in
capitals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from hm3_jax.data.museum import SPLITS
from hm3_jax.data.picture_formats import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from hm3_jax.data.raw_museum import RawMuseum, RawRoom
from hm3_jax.data.raw_sources.common import (
    InputRoot,
    LeftOut,
    RawSet,
    entry_of,
    listing,
)
from hm3_jax.files.text import read_text

DESCRIPTION = "description.txt"
NO_THEME = "no theme"
"""Theme of museums that are in no folder of a theme."""
# Split of museums that are in no folder of a split: they are searched, not trained on.
_SPLIT = "test"

_HUNG = {"images": PICTURE_SUFFIXES, "videos": VIDEO_SUFFIXES}


class _Place(NamedTuple):
    """Where a museum is, and what the folders above it say."""

    folder: Path
    split: str
    theme: str


def read_folder(folder: Path, *, root: Path | None = None) -> RawSet:
    """Reads a folder tree; museums, rooms and pictures are in natural order.

    A folder without a folder of a split has museums, or themes: a folder that holds
    folders of folders is a theme, unless it has a description.

    Args:
        folder: Folder with the museums, with folders of themes, or of splits.
        root: The input root; `folder` if None.

    Returns:
        The museums. A museum's id is the name of its folder, and a room's title that of
        the room's. Its description is one text: its own, then its rooms' in their
        order, a blank line between; without any, it has none.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If there is another folder beside those of splits, a text is in no
            known encoding, or two museums have one name.
    """
    tree = _Tree(InputRoot([folder], root))
    museums: list[RawMuseum] = []
    places: dict[str, Path] = {}
    for place in tree.places(folder):
        other = places.setdefault(place.folder.name, place.folder)
        if other != place.folder:
            raise ValueError(
                f"{place.folder}: expected every museum's name once, found it at "
                f"{other} too"
            )
        museum = tree.museum(place)
        if museum.rooms:
            museums.append(museum)
        else:
            tree.left_out.add("they have no picture", [museum.id])
    left_out = tree.left_out
    return RawSet(
        tree.root.path,
        museums,
        notes=tuple(left_out.notes()),
        left_out=left_out.by_reason,
    )


class _Tree:
    """Reads parts of the tree and remembers what it left out."""

    def __init__(self, root: InputRoot):
        self.root = root
        self.left_out = LeftOut()

    def places(self, folder: Path) -> Iterator[_Place]:
        """The folders of museums."""
        found = self._folders(folder)
        if not any(path.name.lower() in SPLITS for path in found):
            yield from self._unsplit(found)
            return
        for split in found:
            name = split.name.lower()
            if name not in SPLITS:
                raise ValueError(
                    f"{split}: expected a folder named {', '.join(SPLITS)}, found "
                    f"{split.name!r}"
                )
            for theme in self._folders(split):
                for museum in self._folders(theme):
                    yield _Place(museum, name, theme.name)

    def museum(self, place: _Place) -> RawMuseum:
        found = self._listing(place.folder)
        folders = [path for path in found if path.is_dir() and not _is_hung(path)]
        texts = [_text(place.folder)]
        if not folders:
            # A small museum needs no folder for its only room.
            rooms = [self._room(place.folder, None)]
        else:
            texts += map(_text, folders)
            rooms = [self._room(path, path.name) for path in folders]
            for path in (path for path in found if path not in folders):
                if path.name.lower() != DESCRIPTION:
                    self._beside(path, "rooms")
        kept = [room for room in rooms if room.views]
        if kept:
            without = zip(folders or [place.folder], rooms, strict=True)
            self.left_out.add(
                "the room has no picture",
                (path for path, room in without if not room.views),
            )
        return RawMuseum(
            id=place.folder.name,
            split=place.split,
            theme=place.theme,
            description="\n\n".join(text for text in texts if text) or (),
            rooms=tuple(kept),
        )

    def _unsplit(self, folders: Sequence[Path]) -> Iterator[_Place]:
        for folder in folders:
            if _height(folder) < 2 or entry_of(folder, DESCRIPTION):
                yield _Place(folder, _SPLIT, NO_THEME)
            else:
                for museum in self._folders(folder):
                    yield _Place(museum, _SPLIT, folder.name)

    def _folders(self, folder: Path) -> list[Path]:
        """The folders in a folder of museums, themes or splits."""
        found = self._listing(folder)
        for path in found:
            if not path.is_dir():
                self._beside(path, "museums")
        return [path for path in found if path.is_dir()]

    def _room(self, place: Path, title: str | None) -> RawRoom:
        files: dict[str, list[str]] = {"views": [], "images": [], "videos": []}
        for path in self._listing(place):
            name = path.name.lower()
            if path.is_dir() and _is_hung(path):
                self._sort(self._listing(path), {name: _HUNG[name]}, files)
            elif path.is_dir():
                self.left_out.add("they are folders inside of a room", [path])
            elif name != DESCRIPTION:
                self._sort(
                    [path],
                    {"views": PICTURE_SUFFIXES, "videos": VIDEO_SUFFIXES},
                    files,
                )
        return RawRoom(
            **{kind: tuple(paths) for kind, paths in files.items()}, title=title
        )

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

    def _beside(self, path: Path, what: str) -> None:
        """Leaves out what lies beside folders of museums or rooms, not in them."""
        known = PICTURE_SUFFIXES | VIDEO_SUFFIXES
        if (
            _is_hung(path)
            or path.suffix.lower() in known
            or path.name.lower() == DESCRIPTION
        ):
            self.left_out.add(f"they are beside folders of {what}, not in one", [path])
        else:
            self.left_out.unused([path])

    def _listing(self, folder: Path) -> list[Path]:
        return self.left_out.without_misnamed(listing(folder))


def _is_hung(path: Path) -> bool:
    return path.name.lower() in _HUNG


def _height(folder: Path) -> int:
    """How many folders are below one another; up to 2 is told apart."""
    below = [path for path in listing(folder) if path.is_dir() and not _is_hung(path)]
    if not below:
        return 0
    deeper = any(
        inner.is_dir() and not _is_hung(inner)
        for path in below
        for inner in listing(path)
    )
    return 2 if deeper else 1


def _text(place: Path) -> str:
    """The text of a folder's description, empty if it has none."""
    path = entry_of(place, DESCRIPTION)
    return read_text(path).strip() if path and path.is_file() else ""
