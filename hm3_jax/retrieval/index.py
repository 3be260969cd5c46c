"""An open index.

`retrieval.index_format` has the layout, `retrieval.index_writer` makes and
changes one.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from hm3_jax.files.arrays import map_array
from hm3_jax.files.facts import FileFacts, check_sizes, file_facts
from hm3_jax.retrieval.families import FAMILIES
from hm3_jax.retrieval.fit import Fit, fit_of
from hm3_jax.retrieval.held import HeldMuseum, row_of
from hm3_jax.retrieval.index_format import (
    MANIFEST,
    MUSEUM_IDS,
    WORDS,
    Column,
    IndexManifest,
)
from hm3_jax.retrieval.museums import KnownMuseums
from hm3_jax.retrieval.words import Words

# Files up to this size are read and compared with their checksums when an index is
# opened; larger ones would make that slow.
_CHECKED_BYTES = 2**24
# Between reading a manifest and opening its files, an index may change.
_ATTEMPTS = 5
_Opened = TypeVar("_Opened")


@dataclasses.dataclass(frozen=True, eq=False)
class IndexHead:
    """What a machine needs of an index that an engine searches.

    Attributes:
        path: The index's folder.
        manifest: What it says about itself.
        files: Contents of the small files that the builder added, by name.
        words: Finds museums by words; None where no museum has a description, or the
            index is older than this.
    """

    path: Path
    manifest: IndexManifest
    files: Mapping[str, bytes]
    words: Words | None = dataclasses.field(default=None, kw_only=True)


@dataclasses.dataclass(frozen=True, eq=False)
class Index(IndexHead):
    """An open index; all arrays are read-only and mapped from its files.

    It stays usable, as it was, when the index on the disk is changed.

    Attributes:
        museums: The museums.
        map: A place for each museum on a map of the collection, within -1 and 1.
    """

    museums: KnownMuseums
    map: Float[np.ndarray, "museums 2"]

    def __len__(self) -> int:
        """Number of museums."""
        return len(self.museums)

    @property
    def themes(self) -> tuple[str, ...]:
        """Theme names, sorted."""
        return self.museums.themes

    @property
    def fit(self) -> Fit | None:
        """See `Holder`."""
        return fit_of(self.manifest.facts)

    @property
    def theme_weight(self) -> float | None:
        """See `KnownMuseums.default_theme_weight`."""
        return self.museums.default_theme_weight

    @property
    def museums_by_theme(self) -> list[int]:
        """How many museums each theme has."""
        counts = np.bincount(self.museums.theme_index, minlength=len(self.themes))
        return counts.tolist()

    @functools.cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.museums.ids)}

    def rows(self, museums: Iterable[str]) -> dict[str, int]:
        """Rows of museums by their ids; without those that are not there."""
        return {name: self._rows[name] for name in museums if name in self._rows}

    def row(self, museum: str) -> int:
        """The row of the museum with this id; raises as `row_of`."""
        return row_of(museum, self)

    def some(self, rows: Iterable[int]) -> list[HeldMuseum]:
        """The museums of some rows, in their order."""
        return [
            HeldMuseum(row, self.museums, row, *self.map[row].tolist()) for row in rows
        ]

    titles = some


def open_index(path: str | os.PathLike[str]) -> Index:
    """Opens an index without reading its vectors.

    Files are mapped, their presence, sizes and shapes checked, and the checksums of
    small ones; `verify_index` compares all of them.

    Args:
        path: The index's folder.

    Raises:
        FileNotFoundError: If there is no index, or a file of it is missing.
        ValueError: If a file is damaged, or the index is of a newer format.
    """
    return _opened(Path(path), _open)


def open_head(path: str | os.PathLike[str]) -> IndexHead:
    """Opens what an index has for queries: a model and words; the rest may be missing.

    Args:
        path: The index's folder, or one that `write_head` has made.

    Raises:
        FileNotFoundError: If there is no index, or a file of it is missing.
        ValueError: If a file is damaged, or the index is of a newer format.
    """
    return _opened(Path(path), _open_head)


def read_manifest(path: Path) -> IndexManifest:
    """The manifest of the index at `path`; raises as `open_index`."""
    file = path / MANIFEST
    if not file.is_file():
        inside = path / "index"
        hint = f" ({inside} has one)" if (inside / MANIFEST).is_file() else ""
        raise FileNotFoundError(
            f"{path}: expected an index made by build_index, found no {MANIFEST} "
            f"there{hint}"
        )
    try:
        text = file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected UTF-8 text, found {error}") from None
    return IndexManifest.from_json(text, file)


def verify_index(index: Index) -> None:
    """Compares every byte of an index with the checksums in its manifest.

    Raises:
        ValueError: If a file has changed; the message names it.
    """
    folder = index.path / index.manifest.generation
    for name, facts in index.manifest.files.items():
        check_file(folder / name, facts)


def _opened(path: Path, open_: Callable[[Path, IndexManifest], _Opened]) -> _Opened:
    for attempt in range(_ATTEMPTS):
        manifest = read_manifest(path)
        try:
            return open_(path, manifest)
        except FileNotFoundError:
            last = attempt == _ATTEMPTS - 1
            if last or read_manifest(path).generation == manifest.generation:
                raise
    raise AssertionError  # the last attempt returned or raised


def _open_head(path: Path, manifest: IndexManifest) -> IndexHead:
    folder = path / manifest.generation
    check_sizes(folder, {name: manifest.files[name] for name in manifest.head_files})
    for name in manifest.head_files:
        facts = manifest.files[name]
        if name != WORDS or facts.bytes <= _CHECKED_BYTES:
            check_file(folder / name, facts)
    files = {name: (folder / name).read_bytes() for name in manifest.query_files}
    return IndexHead(path, manifest, files, words=_words(folder, manifest))


def _open(path: Path, manifest: IndexManifest) -> Index:
    folder = path / manifest.generation
    own = set(manifest.files).difference(manifest.head_files)
    if folder.is_dir() and not any((folder / name).exists() for name in own):
        raise FileNotFoundError(
            f"{path}: expected an index with its museums, found only what is needed to "
            "search by --uri"
        )
    check_sizes(folder, manifest.files)
    for name, facts in manifest.files.items():
        if facts.bytes <= _CHECKED_BYTES:
            check_file(folder / name, facts)
    try:
        arrays = {
            column.name: _map_array(folder, manifest, column)
            for column in manifest.layout.columns
        }
        return Index(
            path=path,
            manifest=manifest,
            map=arrays.pop("map"),
            museums=FAMILIES[manifest.layout]
            .of_columns(
                _lines(folder / MUSEUM_IDS, manifest.counts["museums"]),
                manifest.themes,
                arrays,
                manifest.facts.model,
            )
            .reading_from(folder),
            files={name: (folder / name).read_bytes() for name in manifest.query_files},
            words=_words(folder, manifest),
        )
    except KeyError as error:
        raise ValueError(
            f"{path / MANIFEST}: expected an entry for {error}, found none"
        ) from None


def _words(folder: Path, manifest: IndexManifest) -> Words | None:
    if WORDS not in manifest.files:
        return None
    words = Words.open(folder / WORDS)
    # Versions that do not know the file copy it when they change an index.
    return words if len(words) == manifest.counts["museums"] else None


def check_file(file: Path, facts: FileFacts) -> None:
    """Compares a file with its facts; ValueError if it has changed."""
    found = file_facts(file)
    if found != facts:
        raise ValueError(
            f"{file}: damaged: expected SHA-256 {facts.sha256}, found {found.sha256}"
        )


def _lines(file: Path, count: int) -> tuple[str, ...]:
    lines = tuple(file.read_bytes().decode().split("\n")[:-1])
    if len(lines) != count:
        raise ValueError(f"{file}: expected {count} lines, found {len(lines)}")
    return lines


def _map_array(folder: Path, manifest: IndexManifest, column: Column) -> np.ndarray:
    file = folder / f"{column.name}.npy"
    if file.name not in manifest.files:
        raise KeyError(file.name)
    shape = column.shape(manifest.counts, manifest.size)
    array = map_array(file)
    if array.shape != shape or array.dtype != np.dtype(column.dtype):
        raise ValueError(
            f"{file}: expected {np.dtype(column.dtype)} of shape {shape}, found "
            f"{array.dtype} of shape {array.shape}"
        )
    return array
