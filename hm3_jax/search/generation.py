"""The files of one generation of an index, put together from museums here and there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy.lib import format as npy

from hm3_jax.search.index_format import (
    MUSEUM_IDS,
    IndexFacts,
    IndexManifest,
    file_facts,
)
from hm3_jax.search.museums import Museums
from hm3_jax.search.projection import project

# Museums that are copied at a time.
_CHUNK = 8192

Parts = Sequence[tuple[Museums, Int[np.ndarray, " chosen"]]]
"""Museums, and the rows of those of them that are meant."""


def write_generation(
    folder: Path,
    name: str,
    parts: Parts,
    facts: IndexFacts,
    files: Mapping[str, bytes],
) -> IndexManifest:
    """Writes the files of a generation.

    Args:
        folder: Empty folder to write into.
        name: What the manifest is to call the generation.
        parts: Which museums, one part after the other.
        facts: Where the vectors came from.
        files: Small files to keep with them, by name.

    Returns:
        The manifest, which is not written.

    Raises:
        ValueError: If there is no museum.
    """
    total = sum(len(rows) for _, rows in parts)
    if total == 0:
        raise ValueError("expected museums for the index, found none")
    size = parts[0][0].vectors.shape[1]
    themes = tuple(sorted(set(_used_themes(parts))))

    def column(file: str, dtype: str, of: Callable[[Museums, np.ndarray], np.ndarray]):
        with _RowFile(folder / f"{file}.npy", dtype) as out:
            for museums, rows in parts:
                for first in range(0, len(rows), _CHUNK):
                    out.append(of(museums, rows[first : first + _CHUNK]))
        return out.length

    def offsets(file: str, name: str) -> None:
        lengths = [np.diff(getattr(museums, name))[rows] for museums, rows in parts]
        ends = np.cumsum(np.concatenate([np.zeros(1, np.int64), *lengths]))
        with _RowFile(folder / f"{file}.npy", "<i8") as out:
            out.append(ends)

    def themes_of(museums: Museums, rows: np.ndarray) -> np.ndarray:
        new = [themes.index(t) if t in themes else -1 for t in museums.themes]
        return np.array(new, np.int32)[museums.theme_index[rows]]

    column("vectors", "<f4", lambda museums, rows: museums.vectors[rows])
    column("theme_index", "<i4", themes_of)
    offsets("room_offsets", "room_offsets")
    offsets("details_offsets", "details_offsets")
    counts = {
        "museums": total,
        "rooms": column(
            "rooms", "<f2", lambda m, rows: m.rooms[_owned(m.room_offsets, rows)]
        ),
        "details": column(
            "details", "|u1", lambda m, rows: m.details[_owned(m.details_offsets, rows)]
        ),
    }
    vectors, theme_index = (
        np.load(folder / f"{file}.npy", mmap_mode="r")
        for file in ("vectors", "theme_index")
    )
    with _RowFile(folder / "map.npy", "<f4") as out:
        out.append(project(vectors, theme_index))
    ids = (museums.ids[row] for museums, rows in parts for row in rows)
    (folder / MUSEUM_IDS).write_bytes("".join(f"{name}\n" for name in ids).encode())
    for file, content in files.items():
        (folder / file).write_bytes(content)
    for file in [*folder.iterdir(), folder]:
        sync(file)
    return IndexManifest(
        generation=name,
        size=size,
        counts=counts,
        themes=themes,
        facts=facts,
        files={file.name: file_facts(file) for file in sorted(folder.iterdir())},
    )


def _used_themes(parts: Parts) -> Iterator[str]:
    for museums, rows in parts:
        for number in np.unique(museums.theme_index[rows]):
            yield museums.themes[number]


def _owned(offsets: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Numbers of the values that some owners of a ragged column have."""
    lengths = offsets[owners + 1] - offsets[owners]
    shift = offsets[owners] - (np.cumsum(lengths) - lengths)
    return np.arange(lengths.sum(), dtype=np.int64) + np.repeat(shift, lengths)


class _RowFile:
    """A .npy file that is appended to; its length enters the header at the end."""

    def __init__(self, path: Path, dtype: str):
        self._path, self._dtype = path, np.dtype(dtype)
        self._shape: tuple[int, ...] = ()
        self.length = 0

    def __enter__(self) -> _RowFile:
        self._file = self._path.open("wb")
        return self

    def append(self, rows: np.ndarray) -> None:
        if self.length == 0:
            self._shape = rows.shape[1:]
            self._write_header()
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)
        self.length += len(rows)

    def __exit__(self, error: type | None, *_: object) -> None:
        with self._file:
            if error is None:
                # numpy leaves room in the header for the first axis to grow.
                self._file.seek(0)
                self._write_header()

    def _write_header(self) -> None:
        description = {
            "descr": npy.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.length, *self._shape),
        }
        npy.write_array_header_1_0(self._file, description)


def sync(path: Path) -> None:
    """Puts a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
