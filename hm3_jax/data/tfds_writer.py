"""Publishes a feature store as a TFDS data set, without TensorFlow."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hm3_jax.data.museum import ARTWORK_KINDS
from hm3_jax.data.store import FeatureStore, manifest_text
from hm3_jax.data.store_content import check_unchanged
from hm3_jax.data.tfds_format import (
    STORE_MANIFEST,
    Publication,
    dataset_info,
    files_beside,
    load_tfds,
)
from hm3_jax.data.verify import verify_store
from hm3_jax.files.durable import whole_or_absent
from hm3_jax.files.errors import naming
from hm3_jax.files.lines import write_text

# TFDS's own advice: files of some hundred megabytes, whatever the number of museums.
_SHARD_BYTES = 256 * 2**20

Watch = Callable[[int, int], None]
"""Is told how many museums are done, and how many there are."""


def publish_store(
    store: FeatureStore,
    data_dir: str | os.PathLike[str],
    publication: Publication,
    *,
    watch: Watch | None = None,
) -> Path:
    """Publishes a store as DATA_DIR/NAME/VERSION, completely or not at all.

    The museums are read one at a time from the store's mapped files, each split in its
    order. `tfds.builder_from_directory` opens the result, and
    `hm3_jax.data.tfds_reader` makes the same store of it again.

    Args:
        store: The store; every byte of it is verified first.
        data_dir: TFDS's data_dir; made if it does not exist.
        publication: Name, version and what else the store cannot know.
        watch: Called after each museum.

    Returns:
        The folder DATA_DIR/NAME/VERSION.

    Raises:
        FileExistsError: If there is this version already.
        ModuleNotFoundError: If TFDS is not installed.
        ValueError: If the store is damaged, or `publication` does not fit it.
    """
    tfds = load_tfds()
    name = publication.name_for(store.manifest)
    output = Path(data_dir) / name / publication.version
    if output.exists():
        raise FileExistsError(
            f"{output}: expected a version that is not published yet, it exists"
        )
    text = manifest_text(store.path)
    problems = verify_store(store.path)
    if problems:
        raise ValueError(problems[0])
    if store.undescribed:
        raise ValueError(
            f"{store.path}: expected museums with descriptions, as a TFDS data set has "
            f"them by split, found {store.undescribed} without"
        )
    with whole_or_absent(output) as folder:
        with naming(output):
            writer = tfds.core.SequentialWriter(
                dataset_info(store, publication, folder),
                max_examples_per_shard=_museums_per_shard(store),
                file_format="array_record",
            )
            writer.initialize_splits(list(store.splits))
            done = 0
            for split, museums in store.splits.items():
                writer.add_examples({split: _examples(store, museums, done, watch)})
                writer.close_splits([split])
                done += len(museums)
        for file in files_beside(store.manifest):
            shutil.copyfile(store.path / file, folder / file)
        write_text(folder / STORE_MANIFEST, text)
        check_unchanged(store, in_place=True)
    return output


def _museums_per_shard(store: FeatureStore) -> int:
    features = store.sentences.values.nbytes + store.views.values.nbytes
    return max(1, _SHARD_BYTES * len(store.theme_index) // max(1, features))


def _examples(
    store: FeatureStore, museums: np.ndarray, done: int, watch: Watch | None
) -> Iterator[dict[str, Any]]:
    for museum in museums.tolist():
        yield _example(store, museum)
        done += 1
        if watch is not None:
            watch(done, len(store.theme_index))


def _example(store: FeatureStore, museum: int) -> dict[str, Any]:
    rooms = range(*store.room_offsets[museum : museum + 2].tolist())
    by_room = {"views": [store.views[room] for room in rooms]}
    for kind in ARTWORK_KINDS:
        artworks = store.artworks(kind)
        if artworks is not None:
            by_room[kind] = [artworks.hung[room] for room in rooms]
    theme = int(store.theme_index[museum])
    example = {
        "id": store.ids[museum],
        "index": museum,
        "theme": store.themes[theme],
        "theme_index": theme,
        "sentences": store.sentences[museum],
        "rooms": by_room,
    }
    texts = store.sentence_texts(museum)
    if texts is not None:
        example["sentence_texts"] = texts
    if store.sentence_rooms is not None:
        sentences = slice(*store.sentences.offsets[museum : museum + 2])
        example["sentence_rooms"] = store.sentence_rooms[sentences]
    return example
