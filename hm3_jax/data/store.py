"""The feature store: museums' frozen features as memory-mapped columns.

`open_store` reads what `write_store` wrote; `hm3_jax.data.store_format` has the
layout, `hm3_jax.data.verify` the thorough check.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hm3_jax.data.store_format import (
    MANIFEST,
    MUSEUM_IDS,
    FeatureFacts,
    Manifest,
    artwork_ids_name,
)
from hm3_jax.data.store_ranges import out_of_range
from hm3_jax.data.store_writer import write_store
from hm3_jax.files.arrays import map_array
from hm3_jax.files.facts import check_sizes, file_state
from hm3_jax.files.input_kinds import ARTWORK_KINDS, artworks_of
from hm3_jax.files.lines import read_lines

__all__ = [
    "Artworks",
    "FeatureFacts",
    "FeatureStore",
    "Manifest",
    "RaggedArray",
    "open_store",
    "write_store",
]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class RaggedArray:
    """Rows of different number for each owner.

    Attributes:
        values: (rows, d) floats or (rows,) integers, of all owners in order.
        offsets: (owners + 1,) int64; owner i has `values[offsets[i]:offsets[i + 1]]`.
    """

    values: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        """Number of owners."""
        return len(self.offsets) - 1

    def __getitem__(self, owner: int) -> np.ndarray:
        """The rows of one owner, 0 <= owner < len(self)."""
        if not 0 <= owner < len(self):
            raise IndexError(f"expected an owner below {len(self)}, found {owner}")
        return self.values[self.offsets[owner] : self.offsets[owner + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """(owners,) int64, rows of each."""
        return np.diff(self.offsets)


@dataclasses.dataclass(frozen=True, eq=False)
class Artworks:
    """Images or videos, and where they hang.

    Attributes:
        table: (artworks, d) each artwork's feature once.
        hung: Rows of `table` (int32) by room.
        ids_path: File of the artworks' ids.
    """

    table: np.ndarray
    hung: RaggedArray
    ids_path: Path

    @functools.cached_property
    def ids(self) -> tuple[str, ...]:
        """Names of the artworks, in the order of `table`; read when first asked."""
        return read_lines(self.ids_path)


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureStore:
    """An open store; all arrays are read-only and mapped from its files.

    Attributes:
        path: The store's folder.
        manifest: What it says about itself.
        theme_index: (museums,) int32 index into `themes`.
        splits: For each split, int64 museum indices in published order. Museums
            without a description are in none: they are found by their pictures only.
        sentences: (sentences, d) features by museum, in order.
        room_offsets: (museums + 1,) int64: museum i has rooms [i]:[i + 1].
        views: (views, d) features by room, in order.
        images: Images, or None where the data set has none.
        videos: Videos, or None where the data set has none.
        texts: UTF-8 bytes by sentence, or None where the store has no texts.
        sentence_rooms: (sentences,) int32, the room of its museum that each sentence is
            about, from 0, or -1 where that is not known; None where it never is.
        states: Of each file when it was mapped, `files.facts.file_state`; see
            `store_content.check_unchanged`.
    """

    path: Path
    manifest: Manifest
    theme_index: np.ndarray
    splits: Mapping[str, np.ndarray]
    sentences: RaggedArray
    room_offsets: np.ndarray
    views: RaggedArray
    images: Artworks | None
    videos: Artworks | None
    texts: RaggedArray | None
    sentence_rooms: np.ndarray | None
    states: Mapping[str, tuple[int, int, int]] = dataclasses.field(default_factory=dict)

    @property
    def dataset_name(self) -> str:
        """Name of the data set."""
        return self.manifest.dataset_name

    @property
    def themes(self) -> tuple[str, ...]:
        """Theme names, sorted."""
        return self.manifest.themes

    @functools.cached_property
    def ids(self) -> tuple[str, ...]:
        """Museum ids; read when first asked."""
        return read_lines(self.path / MUSEUM_IDS)

    def artworks(self, kind: str) -> Artworks | None:
        """The artworks of `kind`, one of `ARTWORK_KINDS`; None without any."""
        return artworks_of(self, kind)

    def sentence_texts(self, museum: int) -> list[str] | None:
        """The sentences of one museum as text, or None where the store has none."""
        if self.texts is None:
            return None
        first, last = self.sentences.offsets[museum : museum + 2]
        return [self.texts[i].tobytes().decode() for i in range(first, last)]

    @property
    def undescribed(self) -> int:
        """Number of museums without a description."""
        return int(np.count_nonzero(self.sentences.lengths == 0))

    def feature_size(self, kind: str) -> int:
        """Size of a feature of "sentences", "views", "images" or "videos".

        Raises:
            ValueError: If the store has no such kind.
        """
        if kind not in self.manifest.features:
            raise ValueError(
                f"{self.path}: expected features of kind {kind!r}, found "
                f"{', '.join(self.manifest.features)}"
            )
        return self.manifest.features[kind].feature_size

    def feature_facts(self) -> dict[str, dict[str, Any]]:
        """For each kind: model, weights, preprocessing, pooling, size, details."""
        return {
            kind: dataclasses.asdict(facts)
            for kind, facts in self.manifest.features.items()
        }


def open_store(path: str | os.PathLike[str]) -> FeatureStore:
    """Opens a store without reading its features.

    Takes milliseconds for 10,000 museums: files are mapped, their presence, sizes and
    shapes checked, and that offsets and references stay within what they refer to. The
    bytes of the features are `hm3_jax.data.store_content.check_content`'s to check.

    Args:
        path: The store's folder.

    Raises:
        FileNotFoundError: If there is no store, or a file of it is missing.
        ValueError: If the manifest is of a newer format, damaged or not a manifest, a
            file has not the size, dtype or shape that the manifest gives it, or one
            refers to something missing.
    """
    store = map_store(path)
    for problem in out_of_range(store):
        raise ValueError(f"{store.path / problem}")
    return store


def map_store(path: str | os.PathLike[str]) -> FeatureStore:
    """As `open_store`, but offsets and references may lead anywhere."""
    path = Path(path)
    manifest = read_manifest(path)
    check_sizes(path, manifest.files)
    states = {name: file_state(path / name) for name in manifest.files}

    def array(name: str, dtype: str, length: int) -> np.ndarray:
        return _map_array(path, manifest, name, dtype, length)

    def ragged(name: str, dtype: str, owners: int, rows: int) -> RaggedArray:
        offsets = array(f"{name}_offsets", "int64", owners + 1)
        return RaggedArray(array(name, dtype, rows), offsets)

    try:
        counts, features = manifest.counts, manifest.dtype
        museums, rooms, sentences = (
            counts[name] for name in ("museums", "rooms", "sentences")
        )
        artworks = {
            kind: Artworks(
                table=array(kind, features, counts[kind]),
                hung=ragged(f"{kind}_hung", "int32", rooms, counts[f"{kind}_hung"]),
                ids_path=path / artwork_ids_name(kind),
            )
            for kind in ARTWORK_KINDS
            if kind in manifest.features
        }
        texts = None
        if "sentence_texts.npy" in manifest.files:
            texts = ragged(
                "sentence_texts", "uint8", sentences, counts["sentence_texts"]
            )
        sentence_rooms = None
        if "sentence_rooms.npy" in manifest.files:
            sentence_rooms = array("sentence_rooms", "int32", sentences)
        return FeatureStore(
            path=path,
            manifest=manifest,
            theme_index=array("theme_index", "int32", museums),
            splits={
                name: array(f"split_{name}", "int64", size)
                for name, size in manifest.splits.items()
            },
            sentences=ragged("sentences", features, museums, sentences),
            room_offsets=array("room_offsets", "int64", museums + 1),
            views=ragged("views", features, rooms, counts["views"]),
            **{kind: artworks.get(kind) for kind in ARTWORK_KINDS},
            texts=texts,
            sentence_rooms=sentence_rooms,
            states=states,
        )
    except KeyError as error:
        raise ValueError(
            f"{path / MANIFEST}: expected an entry for {error}, found none"
        ) from None


def read_manifest(path: Path) -> Manifest:
    """The manifest of the store at `path`.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: As `Manifest.from_json`.
    """
    return Manifest.from_json(manifest_text(path), path / MANIFEST)


def manifest_text(path: Path) -> str:
    """The text of the manifest of the store at `path`.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not UTF-8.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise FileNotFoundError(
            f"{path}: expected a feature store, found no {MANIFEST} there"
        )
    try:
        return file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected UTF-8 text, found {error}") from None


def _map_array(
    path: Path, manifest: Manifest, name: str, dtype: str, length: int
) -> np.ndarray:
    file = path / f"{name}.npy"
    if file.name not in manifest.files:
        raise KeyError(file.name)
    array = map_array(file)
    facts = manifest.features.get(name)
    shape = (length,) if facts is None else (length, facts.feature_size)
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"{file}: expected an array of shape {shape} of {dtype}, found "
            f"{array.shape} of {array.dtype}"
        )
    return array
