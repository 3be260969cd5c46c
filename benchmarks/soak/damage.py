"""Damage to files, and how it is undone."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

KINDS = ("bit flipped", "cut short", "block zeroed", "files swapped", "byte deleted")
_BLOCK = 512
# What libraries name by their own counts and checksums.
_COUNTED = re.compile(r"[0-9a-f]{16,}|\d+")
_ARRAYS = "arrays"


@dataclasses.dataclass(frozen=True, slots=True)
class Damage:
    """What was done, and what undoes it.

    Attributes:
        kind: One of `KINDS`.
        said: It in words, with the file and the place.
        before: The bytes of each file that was changed.
    """

    kind: str
    said: str
    before: dict[Path, bytes]

    def files_in(self, artefact: str) -> tuple[str, ...]:
        """Kinds of the files, each after the name of the artefact."""
        kinds = sorted({kind_of(path) for path in self.before})
        return tuple(f"{artefact}: {kind}" for kind in kinds)

    @property
    def changes_no_value(self) -> bool:
        """Whether it is of the space between the values of JSON."""
        try:
            return all(
                path.suffix == ".json"
                and json.loads(data) == json.loads(path.read_bytes())
                for path, data in self.before.items()
            )
        except ValueError:
            return False

    def undo(self) -> None:
        """Puts back what was there."""
        for path, data in self.before.items():
            path.write_bytes(data)


def kind_of(path: Path) -> str:
    """What a file is, by its name; arrays of checkpoints are one kind.

    >>> kind_of(Path("checkpoints/last/3/meta.json")), kind_of(Path("part_2.npy"))
    ('meta.json', 'part_#.npy')
    """
    if _ARRAYS in path.parts:
        return f"{_ARRAYS}/*"
    return _COUNTED.sub("#", path.name)


def files_of(folder: Path, without: str = "") -> list[Path]:
    """The files below a folder that can be damaged, sorted: those that hold something.

    Args:
        folder: It.
        without: Name of folders whose files are left out.
    """
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.stat().st_size
        and without not in path.relative_to(folder).parts
    ]


def damage(
    folder: Path, random: random.Random, *, keep_times: bool, without: str = ""
) -> Damage:
    """Damages a random file below a folder in a random way.

    Args:
        folder: It; has a file that is not empty.
        random: Draws what is done.
        keep_times: Whether files keep the times of their last change, as they do when
            a disk spoils them.
        without: Name of folders whose files are left alone.
    """
    files = files_of(folder, without)
    while True:
        found = _tried(files, random.choice(KINDS), folder, random)
        if found is None:
            continue
        times = {path: path.stat() for path in found[1]}
        before = {path: path.read_bytes() for path in found[1]}
        for path, data in found[1].items():
            path.write_bytes(data)
            if keep_times:
                was = times[path]
                os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
        return Damage(found[2], found[0], before)


def _tried(
    files: Sequence[Path], kind: str, folder: Path, random: random.Random
) -> tuple[str, dict[Path, bytes], str] | None:
    """Words and new bytes for one kind of damage; None where it changes nothing."""
    # By kind, so that none is left alone; and by size, as a disk that spoils them does.
    if random.random() < 0.5:
        kinds = Counter(map(kind_of, files))
        weights = [1 / kinds[kind_of(path)] for path in files]
    else:
        weights = [path.stat().st_size for path in files]
    (path,) = random.choices(files, weights)
    name = path.relative_to(folder)
    data = path.read_bytes()
    place = random.randrange(len(data))
    if kind == "files swapped":
        same = [
            other
            for other in files
            if other.stat().st_size == len(data) and other.read_bytes() != data
        ]
        if not same:
            return None
        other = random.choice(same)
        changed = {path: other.read_bytes(), other: data}
        return f"{name} and {other.relative_to(folder)} swapped", changed, kind
    if kind == "bit flipped":
        bit = random.randrange(8)
        new = data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]
        said = f"bit {bit} of byte {place} of {name} flipped"
    elif kind == "cut short":
        new, said = data[:place], f"{name} cut to {place} of {len(data)} bytes"
    elif kind == "block zeroed":
        end = min(len(data), place + random.randint(1, _BLOCK))
        new = data[:place] + bytes(end - place) + data[end:]
        said = f"bytes {place} to {end} of {name} zeroed"
    else:
        new, said = data[:place] + data[place + 1 :], f"byte {place} of {name} deleted"
    return None if new == data else (said, {path: new}, kind)
