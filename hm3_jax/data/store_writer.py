"""Writes feature stores: museum by museum, completely or not at all."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from hm3_jax.data.museum import (
    SPLITS,
    UNKNOWN_ROOM,
    ArtworkTable,
    MuseumRecord,
    bad_row,
    check_museum,
    check_table,
)
from hm3_jax.data.store_format import (
    ATTACHMENTS,
    DTYPES,
    MANIFEST,
    MUSEUM_IDS,
    FeatureFacts,
    Manifest,
    artwork_ids_name,
)
from hm3_jax.files.arrays import RowFile, offsets_of, save_array
from hm3_jax.files.durable import whole_or_absent
from hm3_jax.files.facts import fast_checksum, file_facts
from hm3_jax.files.input_kinds import ARTWORK_KINDS, KINDS
from hm3_jax.files.lines import write_lines, write_text


def write_store(
    path: str | os.PathLike[str],
    museums: Iterable[MuseumRecord],
    *,
    dataset_name: str,
    facts: Mapping[str, FeatureFacts],
    artworks: Mapping[str, ArtworkTable] | None = None,
    kind: str = "real",
    dtype: str = "float16",
    origin: Mapping[str, Any] | None = None,
    source: object = None,
    attachments: Mapping[str, str] | None = None,
    check: Callable[[Manifest], object] = lambda manifest: None,
) -> Manifest:
    """Writes a feature store.

    Museums are taken one at a time and written as they come, so that a generator
    needs no memory for more than one. Everything goes to a folder beside `path` whose
    name starts with a dot and holds ".partial-"; it is renamed to `path` when it is
    complete and on disk, and removed if anything goes wrong, Ctrl-C included.

    Args:
        path: Folder to make; must not exist.
        museums: The museums, each split's in its published order.
        dataset_name: Name of the data set.
        facts: Facts for "sentences", "views" and each kind in `artworks`; their
            feature sizes are those that the features must have.
        artworks: Tables of "images" and "videos"; a kind left out is one that the
            data set does not have.
        kind: "real" or "synthetic".
        dtype: "float16" or "float32", for all features.
        origin: How the data came about (JSON values), kept in the manifest.
        source: Path to name in messages about the museums; `path` if None.
        attachments: Texts of files of `store_format.ATTACHMENTS`, by name.
        check: Is given the manifest before there is a store of that name; if it raises
            an error, none is made.

    Returns:
        The store's manifest.

    Raises:
        FileExistsError: If `path` exists.
        ValueError: If there is no museum, a museum or table is not valid (see
            `hm3_jax.data.museum`), an id occurs twice, `dtype` cannot hold a value,
            or an argument is not one of its choices.
    """
    path = Path(path)
    artworks = artworks or {}
    source = path if source is None else source
    attachments = attachments or {}
    _check_arguments(facts, artworks, kind, dtype, attachments)
    with whole_or_absent(path) as folder:
        for name, table in artworks.items():
            check_table(table, facts[name].feature_size, name, source)
            features = _cast(table.features, dtype, f"{source}: {name}")
            save_array(folder / f"{name}.npy", features)
            write_lines(folder / artwork_ids_name(name), table.ids)
        with ExitStack() as files:
            columns = _Columns(folder, files, facts, artworks, dtype, source)
            for museum in museums:
                columns.append(museum)
        if not columns.ids:
            raise ValueError(f"{source}: expected at least one museum, found none")
        themes = columns.finish(folder)
        for name, text in attachments.items():
            write_text(folder / name, text)
        written = sorted(folder.iterdir())
        manifest = Manifest(
            dataset_name=dataset_name,
            kind=kind,
            dtype=dtype,
            splits={name: len(columns.splits[name]) for name in columns.splits},
            themes=themes,
            counts=columns.counts(artworks),
            features={name: facts[name] for name in KINDS if name in facts},
            origin=dict(origin or {}),
            files={file.name: file_facts(file) for file in written},
            xxh3={file.name: fast_checksum(file) for file in written},
        )
        write_text(folder / MANIFEST, manifest.to_json())
        check(manifest)
    return manifest


class _Columns:
    """The files that grow with every museum."""

    def __init__(
        self,
        folder: Path,
        files: ExitStack,
        facts: Mapping[str, FeatureFacts],
        artworks: Mapping[str, ArtworkTable],
        dtype: str,
        source: object,
    ):
        def rows(name: str, dtype: str, *shape: int) -> RowFile:
            return files.enter_context(RowFile(folder / f"{name}.npy", dtype, shape))

        self.sizes = {kind: facts[kind].feature_size for kind in ("sentences", "views")}
        self.values = {
            kind: rows(kind, dtype, size) for kind, size in self.sizes.items()
        }
        self.places = {
            kind: {artwork: i for i, artwork in enumerate(artworks[kind].ids)}
            for kind in ARTWORK_KINDS
            if kind in artworks
        }
        self.hung = {kind: rows(f"{kind}_hung", "int32") for kind in self.places}
        self.open_texts = lambda: rows("sentence_texts", "uint8")
        self.texts: RowFile | None = None
        self.open_sentence_rooms = lambda: rows("sentence_rooms", "int32")
        self.sentence_rooms: RowFile | None = None
        self.sentences_with_room = 0
        self.text_lengths: list[int] = []
        self.lengths: dict[str, list[int]] = {
            kind: [] for kind in (*self.values, *self.hung)
        }
        self.rooms: list[int] = []
        self.ids: dict[str, None] = {}
        self.themes: list[str] = []
        self.splits: dict[str, list[int]] = {}
        self.dtype = dtype
        self.source = source

    def append(self, museum: MuseumRecord) -> None:
        check_museum(museum, self.sizes, self.places, self.source)
        here = f"{self.source}: museum {museum.id!r}"
        if museum.id in self.ids:
            raise ValueError(f"{here}: expected every id once, found it twice")
        self._append_texts(museum, here)
        self._append_sentence_rooms(museum)
        if len(museum.sentences):
            # Who trains or tests takes a split's museums, which have descriptions.
            self.splits.setdefault(museum.split, []).append(len(self.ids))
        self.ids[museum.id] = None
        self.themes.append(museum.theme)
        self.rooms.append(len(museum.rooms))
        self.lengths["sentences"].append(len(museum.sentences))
        self.values["sentences"].append(
            _cast(museum.sentences, self.dtype, f"{here}, sentences")
        )
        views = np.concatenate([room.views for room in museum.rooms])
        self.values["views"].append(_cast(views, self.dtype, f"{here}, views"))
        self.lengths["views"].extend(len(room.views) for room in museum.rooms)
        for kind, hung in self.hung.items():
            place = self.places[kind]
            by_room = [room.hung(kind) for room in museum.rooms]
            self.lengths[kind].extend(map(len, by_room))
            hung.append(
                np.array(
                    [place[artwork] for artwork in itertools.chain(*by_room)], np.int32
                )
            )

    def _append_texts(self, museum: MuseumRecord, here: str) -> None:
        if not self.ids and museum.sentence_texts is not None:
            self.texts = self.open_texts()
        if (self.texts is None) != (museum.sentence_texts is None):
            raise ValueError(
                f"{here}: expected sentence texts for all museums or for none, found "
                f"them for {'some' if self.texts is None else 'all before this one'}"
            )
        if self.texts is not None and museum.sentence_texts is not None:
            encoded = [text.encode() for text in museum.sentence_texts]
            self.text_lengths.extend(map(len, encoded))
            self.texts.append(np.frombuffer(b"".join(encoded), np.uint8))

    def _append_sentence_rooms(self, museum: MuseumRecord) -> None:
        """Writes them from the first museum on that knows one."""
        unknown = np.full(len(museum.sentences), UNKNOWN_ROOM, np.int32)
        rooms = np.array(museum.sentence_rooms or unknown, np.int32)
        known = int(np.count_nonzero(rooms != UNKNOWN_ROOM))
        if known and self.sentence_rooms is None:
            self.sentence_rooms = self.open_sentence_rooms()
            before = self.values["sentences"].length
            self.sentence_rooms.append(np.full(before, UNKNOWN_ROOM, np.int32))
        if self.sentence_rooms is not None:
            self.sentence_rooms.append(rooms)
            self.sentences_with_room += known

    def finish(self, folder: Path) -> tuple[str, ...]:
        """Writes the small files; returns the sorted themes."""
        themes = tuple(sorted(set(self.themes)))
        index = {theme: i for i, theme in enumerate(themes)}
        write_lines(folder / MUSEUM_IDS, self.ids)
        save_array(
            folder / "theme_index.npy",
            np.array([index[theme] for theme in self.themes], np.int32),
        )
        self.splits = {
            name: self.splits[name] for name in SPLITS if name in self.splits
        }
        for name, indices in self.splits.items():
            save_array(folder / f"split_{name}.npy", np.array(indices, np.int64))
        save_array(folder / "room_offsets.npy", offsets_of(self.rooms))
        for kind, lengths in self.lengths.items():
            name = f"{kind}_hung" if kind in self.hung else kind
            save_array(folder / f"{name}_offsets.npy", offsets_of(lengths))
        if self.texts is not None:
            save_array(
                folder / "sentence_texts_offsets.npy", offsets_of(self.text_lengths)
            )
        return themes

    def counts(self, artworks: Mapping[str, ArtworkTable]) -> dict[str, int]:
        counts = {"museums": len(self.ids), "rooms": sum(self.rooms)}
        counts |= {kind: rows.length for kind, rows in self.values.items()}
        for kind, rows in self.hung.items():
            counts |= {kind: len(artworks[kind].ids), f"{kind}_hung": rows.length}
        if self.texts is not None:
            counts["sentence_texts"] = self.texts.length
        if self.sentence_rooms is not None:
            counts["sentence_rooms"] = self.sentences_with_room
        return counts


def _check_arguments(
    facts: Mapping[str, FeatureFacts],
    artworks: Mapping[str, ArtworkTable],
    kind: str,
    dtype: str,
    attachments: Collection[str],
) -> None:
    unknown = set(attachments) - set(ATTACHMENTS)
    if unknown:
        raise ValueError(
            f"expected attachments of {', '.join(ATTACHMENTS)}, found "
            f"{', '.join(sorted(unknown))}"
        )
    if kind not in ("real", "synthetic"):
        raise ValueError(f"expected kind 'real' or 'synthetic', found {kind!r}")
    if dtype not in DTYPES:
        raise ValueError(f"expected dtype {' or '.join(DTYPES)}, found {dtype!r}")
    if not set(artworks) <= set(ARTWORK_KINDS):
        raise ValueError(
            f"expected artworks of {', '.join(ARTWORK_KINDS)}, found "
            f"{', '.join(artworks)}"
        )
    expected = {"sentences", "views", *artworks}
    if set(facts) != expected:
        raise ValueError(
            f"expected facts for {', '.join(sorted(expected))}, found them for "
            f"{', '.join(sorted(facts))}"
        )


def _cast(features: np.ndarray, dtype: str, what: str) -> np.ndarray:
    """`features` in `dtype`; refuses rows that only were usable before."""
    if features.dtype == dtype:
        return features
    with np.errstate(over="ignore", under="ignore"):
        cast = features.astype(dtype)
    bad = bad_row(cast)
    if bad is not None:
        raise ValueError(
            f"{what}: expected values that {dtype} can hold, row {bad[0]} would hold "
            f"{bad[1]}"
        )
    return cast
