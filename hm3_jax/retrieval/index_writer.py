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
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hm3_jax.files.durable import sync
from hm3_jax.retrieval.generation import Parts, write_generation
from hm3_jax.retrieval.index import Index, open_index, verify_index
from hm3_jax.retrieval.index_format import (
    MANIFEST,
    IndexFacts,
    IndexManifest,
)
from hm3_jax.retrieval.museums import Museums

_GENERATION = "generation-"
_PARTIAL = ".partial-"
_LOCK = ".lock"


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
        manifest = write_generation(folder / name, name, parts, facts, files)
        _write(folder / MANIFEST, manifest)
        sync(folder)
        if path.exists():
            raise FileExistsError(f"{path}: made by another process in the meantime")
        folder.rename(path)
    sync(path.parent)
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

    def parts(index: Index) -> Parts:
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

    def parts(index: Index) -> Parts:
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
        found = _first_difference(getattr(old, what), getattr(new, what))
        if found is not None:
            name, before, now = found
            raise ValueError(
                f"{where}: the index was made with {what} {name} {before!r}, found "
                f"{now!r}"
            )


def _first_difference(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> tuple[str, Any, Any] | None:
    for name in sorted(old.keys() | new.keys()):
        before, now = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            inner = _first_difference(before, now)
            if inner is not None:
                return (f"{name}.{inner[0]}", *inner[1:])
        elif before != now:
            return name, before, now
    return None


def _change(path: Path, parts_of: Callable[[Index], Parts]) -> IndexManifest:
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
            manifest = write_generation(
                folder, generation.name, parts, before.facts, index.files
            )
            folder.rename(generation)
        replacement = path / f"{_PARTIAL}{MANIFEST}"
        _write(replacement, manifest)
        os.replace(replacement, path / MANIFEST)
        sync(path)
        _remove_leftovers(path, generation.name)
    return manifest


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
    sync(path)
