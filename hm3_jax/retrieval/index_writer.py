"""Making and changing an index.

A change is written beside the current files, as the index's next generation, and takes
effect when the manifest has been replaced. A kill leaves the index as it was; the next
change removes leftovers.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import numpy as np

from hm3_jax.files.differences import differences
from hm3_jax.files.durable import whole_or_absent, whole_or_as_before, write_whole
from hm3_jax.files.lines import write_text
from hm3_jax.files.locks import locked
from hm3_jax.retrieval.generation import Parts, write_generation
from hm3_jax.retrieval.index import (
    Index,
    IndexHead,
    check_file,
    open_index,
    read_manifest,
    verify_index,
)
from hm3_jax.retrieval.index_format import (
    MANIFEST,
    MUSEUM_IDS,
    WORDS,
    IndexFacts,
    IndexManifest,
)
from hm3_jax.retrieval.museums import KnownMuseums

_GENERATION = "generation-"
# Whole, and hidden while they are made.
_GENERATIONS = (_GENERATION, f".{_GENERATION}")
_LOCK = ".lock"


def create_index(
    path: Path, museums: KnownMuseums, facts: IndexFacts, files: Mapping[str, bytes]
) -> IndexManifest:
    """Writes an index.

    Args:
        path: Folder to make; must not exist.
        museums: What to put in.
        facts: Where the vectors came from.
        files: Small files to keep with the index, by name.

    Raises:
        FileExistsError: If `path` exists.
        ValueError: If there is no museum, or one is not valid.
    """
    museums.check(str(path))
    with whole_or_absent(path, "an index") as folder:
        name = f"{_GENERATION}1"
        (folder / name).mkdir()
        parts = [(museums, np.arange(len(museums)))]
        manifest = write_generation(folder / name, name, parts, facts, files)
        write_text(folder / MANIFEST, manifest.to_json())
    return manifest


def write_head(path: Path, head: IndexHead) -> None:
    """Writes what a machine needs of an index that an engine searches.

    Args:
        path: Folder to make; one that this has made before is replaced.
        head: Of the index.

    Raises:
        FileExistsError: If something else is there.
        FileNotFoundError: If the index has changed since its head was opened.
        ValueError: If its words are damaged.
    """
    if path.exists() and not _is_head(path):
        raise FileExistsError(
            f"{path}: expected no such folder, or one made by --client, found another"
        )
    with whole_or_as_before(path) as folder:
        generation = folder / head.manifest.generation
        generation.mkdir()
        for name, content in head.files.items():
            (generation / name).write_bytes(content)
        if WORDS in head.manifest.files:
            # Too large to be held, and so compared as they are now.
            there = head.path / generation.name / WORDS
            shutil.copyfile(there, generation / WORDS)
            check_file(generation / WORDS, head.manifest.files[WORDS])
        write_text(folder / MANIFEST, head.manifest.to_json())


def _is_head(path: Path) -> bool:
    if not (path / MANIFEST).is_file():
        return False
    return not (path / read_manifest(path).generation / MUSEUM_IDS).exists()


def append_museums(
    path: Path, museums: KnownMuseums, facts: IndexFacts
) -> IndexManifest:
    """Adds museums to an index; those in it stay as they are, in front.

    Args:
        path: The index's folder.
        museums: What to add.
        facts: Where their vectors came from.

    Raises:
        FileNotFoundError: If there is no index.
        ValueError: If the index is damaged or of another model or encoder, one of its
            museums is among the new ones, or a museum is not valid.
    """
    museums.check(f"{path}, to be added")

    def parts(index: Index) -> Parts:
        if index.museums.layout != museums.layout:
            raise ValueError(
                f"{path}: the index has {index.museums.layout.says}, found a model "
                f"that makes {museums.layout.says}"
            )
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
        for name, before, now in differences(getattr(old, what), getattr(new, what)):
            raise ValueError(
                f"{where}: the index was made with {what} {name} {before!r}, found "
                f"{now!r}"
            )


def _change(path: Path, parts_of: Callable[[Index], Parts]) -> IndexManifest:
    with _lock(path):
        index = open_index(path)
        # What is copied gets new checksums: damage would look sound from then on.
        verify_index(index)
        before = index.manifest
        # First: a change that a kill has let finish but for this may come again.
        _remove_leftovers(path, before.generation)
        parts = parts_of(index)
        number = int(before.generation.removeprefix(_GENERATION)) + 1
        generation = path / f"{_GENERATION}{number}"
        with whole_or_absent(generation) as folder:
            manifest = write_generation(
                folder, generation.name, parts, before.facts, index.files
            )
        write_whole(path / MANIFEST, manifest.to_json())
        _remove_leftovers(path, generation.name)
    return manifest


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Waits until no other process changes the index."""
    if not (path / MANIFEST).is_file():
        # open_index says it better, and no lock is left where no index is.
        yield
        return
    with locked(path / _LOCK, wait=True):
        yield


def _remove_leftovers(path: Path, current: str) -> None:
    for found in path.iterdir():
        if found.name.startswith(_GENERATIONS) and found.name != current:
            shutil.rmtree(found, ignore_errors=True)
