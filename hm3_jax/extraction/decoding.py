"""Decoding: some pictures or videos of a chunk -> pixels as the model takes them.

What goes wrong with one file is told from what goes wrong with all of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hm3_jax.extraction.errors import (
    FileSystemFailure,
    MissingInput,
    UnreadableInput,
    first_line,
)
from hm3_jax.extraction.pictures import MAX_PIXELS, open_picture
from hm3_jax.extraction.videos import map_frames

if TYPE_CHECKING:
    from PIL.Image import Image

# Files of a job: enough to make handing it over cheap, few enough for some jobs to lie
# in memory for every worker.
_FILES = {"pictures": 16, "videos": 1}

SECONDS_PER_FILE = 600.0
"""A decoder that takes longer for one file is ended."""


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """Some items of one chunk.

    Attributes:
        kind: "pictures" or "videos".
        items: Their numbers.
        files: Their files, relative to the input root.
    """

    kind: str
    items: tuple[int, ...]
    files: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Decoded:
    """What the model takes of a job's items.

    Attributes:
        values: (rows, 3, height, width) float32 pixels of pictures and frames, of the
            items that could be read, one after another; None where none could.
        rows: Rows of each item; 0 where it could not be read.
        failures: Why items could not be read, by item number.
        damages: What is wrong with items that could be read in part, by item number.
    """

    values: np.ndarray | None
    rows: tuple[int, ...]
    failures: Mapping[int, str]
    damages: Mapping[int, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Decoder:
    """Turns jobs into arrays; goes to worker processes, so it holds no model.

    Attributes:
        root: Folder that files are named from.
        transform: A picture -> (3, height, width) float32.
        frames_per_second: Frames taken from a second of video.
        max_frames: Most frames of a video, evenly spread; 1 for its first.
        max_pixels: Most pixels of a picture that are decoded.
        seconds_per_file: What a worker may take for one file.
        folders: Device and number of the folders in which files were read, and of
            `root` from the beginning.
    """

    root: Path
    transform: Callable[[Image], np.ndarray]
    frames_per_second: float
    max_frames: int
    max_pixels: int = MAX_PIXELS
    seconds_per_file: float = SECONDS_PER_FILE
    folders: dict[Path, tuple[int, int]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Notes which folder the root is."""
        self._note_folders(self.root / "file")

    def __call__(
        self,
        job: Job,
        begin: Callable[[int], None] = lambda item: None,
        given_up: Mapping[tuple[str, int], str] | None = None,
    ) -> Decoded:
        """Reads a job's files; what cannot be read is left out and said why.

        Args:
            job: The job.
            begin: Is told the number of each item before it is decoded.
            given_up: Items not to try, by kind and number, and why.

        Raises:
            FileSystemFailure: The file system failed, which is no fault of a file's
                content.
        """
        values: list[np.ndarray] = []
        rows: list[int] = []
        failures = {
            number: reason
            for (kind, number), reason in (given_up or {}).items()
            if kind == job.kind
        }
        damages: dict[int, str] = {}
        for number, name in zip(job.items, job.files, strict=True):
            path = self.root / name
            pixels: list[np.ndarray] = []
            begin(number)
            try:
                if number not in failures:
                    pixels = self._pixels(
                        job.kind,
                        path,
                        lambda what, number=number: damages.update({number: what}),
                    )
                    self._note_folders(path)
            except MissingInput as error:
                self._check_folders(path)
                failures[number] = error.reason
            except UnreadableInput as error:
                failures[number] = error.reason
            except FileSystemFailure:
                raise
            except (OSError, MemoryError) as error:
                raise FileSystemFailure(path, first_line(error)) from error
            except Exception as error:
                # Decoders fail on damaged files in ways that nobody has listed, and
                # a run of days must not end at one of them.
                failures[number] = f"{type(error).__name__}: {first_line(error)}"
            values.extend(pixels)
            rows.append(len(pixels))
        return Decoded(
            np.stack(values) if values else None,
            tuple(rows),
            {number: failures[number] for number in job.items if number in failures},
            damages,
        )

    def _pixels(
        self, kind: str, path: Path, damage: Callable[[str], None]
    ) -> list[np.ndarray]:
        if kind == "pictures":
            picture = open_picture(path, max_pixels=self.max_pixels)
            return [self.transform(picture)]
        return map_frames(
            path,
            self.transform,
            frames_per_second=self.frames_per_second,
            max_frames=self.max_frames,
            damage=damage,
        )

    def _check_folders(self, path: Path) -> None:
        """Refuses folders of a missing file that are others than before.

        Files are missing too where the share or the disk has gone that they were on.
        """
        for folder in reversed([*_folders_of(path, self.root)]):
            try:
                found = _identity(folder)
            except (FileNotFoundError, NotADirectoryError):
                found = None
            except OSError as error:
                raise FileSystemFailure(folder, str(error.strerror)) from error
            if folder in self.folders and self.folders[folder] != found:
                raise FileSystemFailure(
                    folder,
                    "gone, or not the same folder as before, as when a file system is "
                    "unmounted",
                )

    def _note_folders(self, path: Path) -> None:
        for folder in _folders_of(path, self.root):
            if folder in self.folders:
                break
            # What was read just now has folders, unless they went this moment.
            with contextlib.suppress(OSError):
                self.folders[folder] = _identity(folder)


def _folders_of(path: Path, root: Path) -> Iterator[Path]:
    """The folders of a file, from its own to the root."""
    for folder in path.parents:
        yield folder
        if folder == root:
            return


def _identity(folder: Path) -> tuple[int, int]:
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def jobs_of(kind: str, items: Sequence[int], files: Sequence[str]) -> list[Job]:
    """Cuts items of a chunk into jobs.

    Args:
        kind: "pictures" or "videos".
        items: Numbers of the items.
        files: The files of all items of the kind, by number.
    """
    size = _FILES[kind]
    parts = (tuple(items[i : i + size]) for i in range(0, len(items), size))
    return [Job(kind, part, tuple(files[item] for item in part)) for part in parts]
