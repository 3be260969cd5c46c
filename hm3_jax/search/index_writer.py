"""Making and changing an index.

A change is written beside what is there, as the index's next generation, and counts
once the manifest has been replaced. A kill leaves the index as it was; what it leaves
besides is removed by the next change.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int
from numpy.lib import format as npy

from hm3_jax.search.index import Index, open_index, verify_index
from hm3_jax.search.index_format import (
    MANIFEST,
    MUSEUM_IDS,
    IndexFacts,
    IndexManifest,
    file_facts,
)
from hm3_jax.search.museums import Museums
from hm3_jax.search.projection import project

_GENERATION = "generation-"
_PARTIAL = ".partial-"
_LOCK = ".lock"
# Museums that are copied at a time.
_CHUNK = 8192


def create_index(
    path: Path, museums: Museums, facts: IndexFacts, files: Mapping[str, bytes]
) -> IndexManifest:
    """Writes an index.

    Args:
        path: Folder to make; must not exist.
        museums: What to put in.
        facts: Where the vectors came from.
        files: Small files to keep with the index, by name.

    Raises:
        FileExistsError: If `path` exists.
        ValueError: If there is no museum, or one is not as it has to be.
    """
    if path.exists():
        raise FileExistsError(f"{path}: expected a path to make an index at, it exists")
    museums.check(str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary_folder(path.parent, f".{path.name}{_PARTIAL}") as folder:
        name = f"{_GENERATION}1"
        (folder / name).mkdir()
        parts = [(museums, np.arange(len(museums)))]
        manifest = _write_generation(folder / name, name, parts, facts, files)
        _write(folder / MANIFEST, manifest)
        _sync(folder)
        if path.exists():
            raise FileExistsError(f"{path}: made by another process in the meantime")
        folder.rename(path)
    _sync(path.parent)
    return manifest


def append_museums(path: Path, museums: Museums, facts: IndexFacts) -> IndexManifest:
    """Adds museums to an index; those in it stay as they are, in front.

    Args:
        path: The index's folder.
        museums: What to add.
        facts: Where their vectors came from.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If the index is damaged or of another model or encoder, one of its
            museums is among the new ones, or a museum is not as it has to be.
    """
    museums.check(f"{path}, to be added")

    def parts(index: Index) -> list[tuple[Museums, np.ndarray]]:
        check_same(index.manifest.facts, facts, str(path))
        twice = set(index.museums.ids).intersection(museums.ids)
        if twice:
            raise ValueError(
                f"{path}: expected museums that are not in the index, found "
                f"{min(twice)!r}, which is"
                + (f", and {len(twice) - 1} more" if len(twice) > 1 else "")
            )
        old = index.museums
        return [(old, np.arange(len(old))), (museums, np.arange(len(museums)))]

    return _change(path, parts)


def remove_museums(path: Path, ids: Collection[str]) -> IndexManifest:
    """Drops museums from an index.

    Args:
        path: The index's folder.
        ids: Of the museums.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If the index is damaged, has no such museum, or would be empty.
    """

    def parts(index: Index) -> list[tuple[Museums, np.ndarray]]:
        keep = np.ones(len(index.museums), bool)
        keep[[index.row(name) for name in ids]] = False
        return [(index.museums, np.flatnonzero(keep))]

    return _change(path, parts)


def check_same(old: IndexFacts, new: IndexFacts, where: str) -> None:
    """Refuses vectors that cannot be compared with those of an index.

    Args:
        old: Facts of the index.
        new: Facts of the vectors.
        where: What messages call the index.

    Raises:
        ValueError: If model or encoder differ; the message names the first difference.
    """
    for what in ("model", "encoder"):
        before, now = getattr(old, what), getattr(new, what)
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name):
                raise ValueError(
                    f"{where}: the index was made with {what} {name} "
                    f"{before.get(name)!r}, found {now.get(name)!r}"
                )


def _change(
    path: Path, parts_of: Callable[[Index], Sequence[tuple[Museums, np.ndarray]]]
) -> IndexManifest:
    with _lock(path):
        index = open_index(path)
        # What is copied gets new checksums: damage would look sound from then on.
        verify_index(index)
        parts = parts_of(index)
        before = index.manifest
        _remove_leftovers(path, before.generation)
        number = int(before.generation.removeprefix(_GENERATION)) + 1
        generation = path / f"{_GENERATION}{number}"
        with _temporary_folder(path, _PARTIAL) as folder:
            manifest = _write_generation(
                folder, generation.name, parts, before.facts, index.files
            )
            folder.rename(generation)
        replacement = path / f"{_PARTIAL}{MANIFEST}"
        _write(replacement, manifest)
        os.replace(replacement, path / MANIFEST)
        _sync(path)
        _remove_leftovers(path, generation.name)
    return manifest


def _write_generation(
    folder: Path,
    name: str,
    parts: Sequence[tuple[Museums, Int[np.ndarray, " chosen"]]],
    facts: IndexFacts,
    files: Mapping[str, bytes],
) -> IndexManifest:
    """Writes some of the museums of each part, one part after the other."""
    total = sum(len(rows) for _, rows in parts)
    if total == 0:
        raise ValueError("expected museums to stay in the index, found none")
    size = parts[0][0].vectors.shape[1]
    themes = tuple(sorted({theme for theme in _used_themes(parts)}))

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
        _sync(file)
    return IndexManifest(
        generation=name,
        size=size,
        counts=counts,
        themes=themes,
        facts=facts,
        files={file.name: file_facts(file) for file in sorted(folder.iterdir())},
    )


def _used_themes(parts: Sequence[tuple[Museums, np.ndarray]]) -> Iterator[str]:
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


@contextlib.contextmanager
def _temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder, which is gone afterwards unless it was renamed."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        # mkdtemp's folders are the user's alone; an index is as open as other folders.
        umask = os.umask(0)
        os.umask(umask)
        folder.chmod(0o777 & ~umask)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Waits until no other process changes the index."""
    if not (path / MANIFEST).is_file():
        # open_index says it better, and no lock is left where no index is.
        yield
        return
    with (path / _LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_leftovers(path: Path, current: str) -> None:
    for found in path.iterdir():
        if found.name.startswith((_GENERATION, _PARTIAL)) and found.name != current:
            if found.is_dir():
                shutil.rmtree(found, ignore_errors=True)
            else:
                found.unlink(missing_ok=True)


def _write(path: Path, manifest: IndexManifest) -> None:
    path.write_bytes(manifest.to_json().encode())
    _sync(path)


def _sync(path: Path) -> None:
    """Puts a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
