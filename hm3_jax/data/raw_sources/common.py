"""What every reader of raw data returns, and what several of them do alike."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hm3_jax.data.raw_museum import RawArtwork, RawMuseum

PICTURES = frozenset(
    [".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"]
)
VIDEOS = frozenset(
    [".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"]
    + [".mts", ".ogv", ".ts", ".webm", ".wmv"]
)

_JUNK = ("thumbs.db", "desktop.ini", "__macosx")


@dataclasses.dataclass(frozen=True, slots=True)
class RawSet:
    """A raw data set on its way into a museum list.

    Attributes:
        root: The input root, which all paths are relative to.
        museums: The museums.
        artworks: The artworks.
        notes: What the user should know: things left out or assumed.
    """

    root: Path
    museums: Sequence[RawMuseum]
    artworks: Sequence[RawArtwork] = ()
    notes: tuple[str, ...] = ()


class InputRoot:
    """The folder that all files lie in.

    Attributes:
        path: The folder, absolute and free of links.
    """

    def __init__(self, folders: Sequence[Path], chosen: Path | None):
        """Takes the chosen folder, or the least one that holds all the others.

        Args:
            folders: The folders that are read.
            chosen: What the user wants, or None.

        Raises:
            FileNotFoundError: If there is no such folder.
            ValueError: If a folder lies outside the chosen one.
        """
        for folder in (*folders, *([chosen] if chosen else [])):
            if not folder.is_dir():
                raise FileNotFoundError(f"{folder}: expected a folder, found none")
        resolved = [folder.resolve() for folder in folders]
        self.path = (chosen or Path(os.path.commonpath(resolved))).resolve()
        for folder in resolved:
            if not folder.is_relative_to(self.path):
                raise ValueError(
                    f"{folder}: expected a folder inside the input root {self.path}, "
                    "found it outside"
                )

    def relative(self, file: Path) -> str:
        """The path of a file below the root, with / between folders.

        Raises:
            ValueError: If the file, or what it links to, lies outside.
        """
        place = Path(os.path.abspath(file))
        target = place.resolve()
        if not target.is_relative_to(self.path):
            raise ValueError(
                f"{file}: expected a file inside the input root {self.path}, found "
                f"{target}; --input_root can name a folder that holds both"
            )
        inside = place if place.is_relative_to(self.path) else target
        return inside.relative_to(self.path).as_posix()


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sorts numbers in names by their value.

    >>> sorted(["room10", "room2", "Room1"], key=natural_key)
    ['Room1', 'room2', 'room10']
    """
    parts = [
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", name.casefold())
        if part
    ]
    return parts, name


def listing(folder: Path) -> list[Path]:
    """What a folder holds, in natural order, without what systems leave behind."""
    return sorted(
        (
            path
            for path in folder.iterdir()
            if not path.name.startswith(".") and path.name.lower() not in _JUNK
        ),
        key=lambda path: natural_key(path.name),
    )


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder, in natural order; links that lead back are not."""
    yield from _files_below(folder, frozenset())


def _files_below(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    above |= {folder.resolve()}
    for path in listing(folder):
        if not path.is_dir():
            yield path
        elif path.resolve() not in above:
            yield from _files_below(path, above)


def one_line(text: str) -> str:
    """The text with single spaces for every run of white space."""
    return " ".join(text.split())


def only_complete(museums: Iterable[RawMuseum]) -> tuple[list[RawMuseum], list[str]]:
    """Leaves out museums that a museum list cannot hold.

    Returns:
        Those with a text and with views in every room; and a note for each reason why
        others are missing.
    """
    kept: list[RawMuseum] = []
    faults: dict[str, list[str]] = {}
    for museum in museums:
        fault = _fault(museum)
        if fault is None:
            kept.append(museum)
        else:
            faults.setdefault(fault, []).append(museum.id)
    notes = [
        f"left out, because {fault}: {some_of(ids)}" for fault, ids in faults.items()
    ]
    return kept, notes


def some_of(names: Sequence[str], most: int = 3) -> str:
    """How many names there are, and the first of them."""
    more = ", ..." if len(names) > most else ""
    return f"{len(names)} ({', '.join(names[:most])}{more})"


def _fault(museum: RawMuseum) -> str | None:
    texts = museum.description
    lines = [texts] if isinstance(texts, str) else texts
    if not any(text.strip() for part in lines for text in _strings(part)):
        return "they have no text"
    if not museum.rooms:
        return "they have no room"
    if not all(room.views for room in museum.rooms):
        return "a room has no picture"
    return None


def _strings(part: str | tuple[str, ...]) -> tuple[str, ...]:
    return (part,) if isinstance(part, str) else part
