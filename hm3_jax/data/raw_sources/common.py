"""What every reader of raw data returns, and what several of them do alike."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from hm3_jax.data.museum import SPLITS
from hm3_jax.data.picture_formats import NEEDS_MORE
from hm3_jax.data.raw_museum import RawArtwork, RawMuseum, check_path
from hm3_jax.files.left_behind import is_left_behind
from hm3_jax.files.text import is_text, readable
from hm3_jax.files.words import counted


@dataclasses.dataclass(frozen=True, slots=True)
class RawSet:
    """A raw data set on its way into a museum list.

    Attributes:
        root: The input root, which all paths are relative to.
        museums: The museums.
        artworks: The artworks.
        notes: What the user should know: things left out or assumed.
        left_out: All that was left out, by the reason, where the reader keeps it.
    """

    root: Path
    museums: Sequence[RawMuseum]
    artworks: Sequence[RawArtwork] = ()
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    def summary(self) -> str:
        """How much there is, in a line."""
        splits = Counter(museum.split for museum in self.museums)
        rooms = [room for museum in self.museums for room in museum.rooms]
        themes = {museum.theme for museum in self.museums}
        without = sum(not museum.description for museum in self.museums)
        by_split = [f"{splits[name]:,} {name}" for name in SPLITS if splits[name]]
        museums = counted(len(self.museums), "museum")
        if len(by_split) > 1:
            museums += f" ({', '.join(by_split)})"
        if len(themes) > 1:
            museums += f" of {counted(len(themes), 'theme')}"
        counts = [
            museums,
            counted(len(rooms), "room"),
            counted(sum(len(room.views) for room in rooms), "view"),
        ]
        if self.artworks:
            counts.append(counted(len(self.artworks), "artwork"))
        if without:
            counts.append(f"{without:,} without a description")
        return ", ".join(counts)


class InputRoot:
    """The folder that all files lie in.

    Attributes:
        path: The folder, absolute and free of links.
    """

    def __init__(self, folders: Sequence[Path], chosen: Path | None):
        """Takes the chosen folder, or the smallest one that contains all the others.

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
        path = inside.relative_to(self.path).as_posix()
        if not is_text(path):
            raise ValueError(f"{readable(file)}: expected a path in UTF-8, found none")
        return path


class LeftOut:
    """What a reader has left out of a list, for its notes.

    Attributes:
        by_reason: Names of what was left out, by the reason.
    """

    def __init__(self) -> None:
        """Starts with nothing."""
        self.by_reason: dict[str, list[str]] = {}

    def add(self, reason: str, names: Iterable[object]) -> None:
        """Takes what is left out for a reason, "they have no text"."""
        for name in names:
            self.by_reason.setdefault(f"left out, because {reason}", []).append(
                str(name)
            )

    def unused(self, paths: Iterable[Path]) -> None:
        """Takes files that are of no use, among them pictures that nothing reads."""
        for path in paths:
            package = NEEDS_MORE.get(path.suffix.lower())
            if package:
                self.add(
                    f"they cannot be read without {package} (pip install {package})",
                    [path],
                )
            else:
                self.by_reason.setdefault("files of no use here", []).append(str(path))

    def without_misnamed(self, paths: Iterable[Path]) -> list[Path]:
        """Leaves out what has a name that a museum list cannot hold."""
        kept = []
        for path in paths:
            if _can_be_named(path):
                kept.append(path)
            else:
                self.add(
                    "their names are not UTF-8 or have backslashes or control "
                    "characters",
                    [readable(path)],
                )
        return kept

    def notes(self) -> list[str]:
        """A note for each reason why something was left out."""
        return [f"{why}: {some_of(names)}" for why, names in self.by_reason.items()]


def _can_be_named(path: Path) -> bool:
    try:
        check_path(path.name, "")
    except ValueError:
        return False
    return is_text(path.name)


def entry_of(folder: Path, name: str) -> Path | None:
    """What a folder has under a name, be it in capitals or not.

    Returns:
        The entry, or None if there is none.

    Raises:
        ValueError: If there are several.
    """
    found = [path for path in listing(folder) if path.name.lower() == name.lower()]
    if len(found) > 1:
        raise ValueError(
            f"{folder}: expected {name!r} once, in capitals or not, found "
            f"{' and '.join(repr(path.name) for path in found)}"
        )
    return found[0] if found else None


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
        (path for path in folder.iterdir() if not is_left_behind(path.name)),
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
