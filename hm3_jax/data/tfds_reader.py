"""Makes feature stores of TFDS data sets that `tfds_writer` has published."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hm3_jax.data.museum import (
    ARTWORK_KINDS,
    ArtworkTable,
    MuseumRecord,
    RoomRecord,
)
from hm3_jax.data.store import write_store
from hm3_jax.data.store_format import ATTACHMENTS, Manifest, artwork_ids_name
from hm3_jax.data.tfds_find import PublishedStore
from hm3_jax.data.tfds_format import files_beside, load_tfds
from hm3_jax.data.tfds_writer import Watch
from hm3_jax.files.durable import refuse_existing
from hm3_jax.files.facts import file_facts
from hm3_jax.files.lines import read_lines


def unpack(
    published: PublishedStore,
    output: str | os.PathLike[str],
    *,
    watch: Watch | None = None,
) -> Manifest:
    """Recreates the store, byte for byte, completely or not at all.

    The museums are read one at a time from each split.

    Args:
        published: What `find_published` found.
        output: The store to make; must not exist.
        watch: Called after each museum.

    Returns:
        The store's manifest.

    Raises:
        FileExistsError: If `output` exists.
        FileNotFoundError: If a file of the data set is missing.
        ModuleNotFoundError: If TFDS is not installed.
        ValueError: If the data set does not hold the store that its manifest tells of.
    """
    output, folder, manifest = Path(output), published.folder, published.manifest
    refuse_existing(output, "a store")
    _check_files_beside(published)
    splits = _open_splits(published)
    tables = _tables(published)
    return write_store(
        output,
        _museums(published, splits, tables, watch),
        dataset_name=manifest.dataset_name,
        facts=manifest.features,
        artworks=tables,
        kind=manifest.kind,
        dtype=manifest.dtype,
        origin=manifest.origin,
        source=folder,
        attachments={
            name: (folder / name).read_text(encoding="utf-8")
            for name in ATTACHMENTS
            if name in manifest.files
        },
        check=lambda written: _check_equal(folder, manifest, written),
    )


def _check_files_beside(published: PublishedStore) -> None:
    for name in files_beside(published.manifest):
        file = published.folder / name
        if not file.is_file():
            raise FileNotFoundError(f"{file}: expected a file, found none")
        if file_facts(file) != published.manifest.files.get(name):
            raise ValueError(f"{file}: expected the file of the store, found another")


def _open_splits(published: PublishedStore) -> Mapping[str, Any]:
    """For each split its examples, by number."""
    folder, expected = published.folder, dict(published.manifest.splits)
    tfds = load_tfds()
    try:
        builder = tfds.builder_from_directory(folder)
        sizes = {name: info.num_examples for name, info in builder.info.splits.items()}
        files = [f for info in builder.info.splits.values() for f in info.filepaths]
        sources = {name: builder.as_data_source(name) for name in sizes}
    except Exception as error:
        # TFDS fails in as many ways as its files can be wrong.
        raise ValueError(
            f"{folder}: expected a TFDS data set, found {type(error).__name__}: {error}"
        ) from error
    if sizes != expected:
        raise ValueError(
            f"{folder}: expected splits of {expected} museums, found {sizes}"
        )
    for file in files:
        if not Path(file).is_file():
            raise FileNotFoundError(f"{file}: expected an ArrayRecord file, found none")
    return sources


def _tables(published: PublishedStore) -> dict[str, ArtworkTable]:
    folder = published.folder
    return {
        kind: ArtworkTable(
            read_lines(folder / artwork_ids_name(kind)),
            np.load(folder / f"{kind}.npy", mmap_mode="r").view(np.ndarray),
        )
        for kind in ARTWORK_KINDS
        if kind in published.manifest.features
    }


def _museums(
    published: PublishedStore,
    splits: Mapping[str, Any],
    tables: Mapping[str, ArtworkTable],
    watch: Watch | None,
) -> Iterator[MuseumRecord]:
    """The museums of all splits, in the order that they had in the store."""
    total = published.manifest.counts["museums"]
    examples = heapq.merge(
        *(
            _read(published.folder, split, source, tables)
            for split, source in splits.items()
        ),
        key=lambda example: example[0],
    )
    for done, (index, museum) in enumerate(examples):
        if index != done:
            raise ValueError(
                f"{published.folder}: expected museum number {done}, found {index}"
            )
        yield museum
        if watch is not None:
            watch(done + 1, total)


def _read(
    folder: Path, split: str, source: Any, tables: Mapping[str, ArtworkTable]
) -> Iterator[tuple[int, MuseumRecord]]:
    for number in range(len(source)):
        try:
            example = source[number]
            museum = _museum(example, split, tables)
            index = int(example["index"])
        except Exception as error:
            # Damaged records surface as whatever the parsers on the way raise.
            raise ValueError(
                f"{folder}: split {split}, example {number}: expected a museum, found "
                f"{type(error).__name__}: {error}"
            ) from error
        yield index, museum


def _museum(
    example: Mapping[str, Any], split: str, tables: Mapping[str, ArtworkTable]
) -> MuseumRecord:
    rooms = example["rooms"]
    hung = {
        kind: [tuple(table.ids[i] for i in room) for room in rooms[kind]]
        for kind, table in tables.items()
    }
    texts, about = example.get("sentence_texts"), example.get("sentence_rooms")
    return MuseumRecord(
        id=example["id"].decode(),
        split=split,
        theme=example["theme"].decode(),
        sentences=example["sentences"],
        rooms=tuple(
            RoomRecord(views, **{kind: by_room[i] for kind, by_room in hung.items()})
            for i, views in enumerate(rooms["views"])
        ),
        sentence_texts=(
            None if texts is None else tuple(text.decode() for text in texts)
        ),
        sentence_rooms=None if about is None else tuple(about.tolist()),
    )


def _check_equal(folder: Path, expected: Manifest, found: Manifest) -> None:
    if found.checksum == expected.checksum:
        return
    files = sorted(
        name
        for name in {*expected.files, *found.files}
        if expected.files.get(name) != found.files.get(name)
    )
    raise ValueError(
        f"{folder}: expected the museums of the store that was published, found others "
        f"(of its files, {', '.join(files) or 'only the manifest'} would differ)"
    )
