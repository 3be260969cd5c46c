"""The thorough check of a feature store: every byte, every reference."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from hm3_jax.data.museum import ARTWORK_KINDS, bad_row, first_repeated
from hm3_jax.data.store import Artworks, FeatureStore, manifest_text, map_store
from hm3_jax.data.store_format import (
    MANIFEST,
    MUSEUM_IDS,
    Manifest,
    artwork_ids_name,
)
from hm3_jax.data.store_ranges import (
    museum_name,
    out_of_range,
    owner,
    room_name,
)
from hm3_jax.files.left_behind import is_left_behind

# Feature rows looked at at a time.
_CHUNK = 8192


def verify_store(path: str | os.PathLike[str]) -> list[str]:
    """Checks that a store is as it was written, and that it contradicts itself nowhere.

    Args:
        path: The store's folder.

    Returns:
        One line for each problem, with the file, and the museum where there is one;
        empty if the store is sound. Of many faulty rows of a file the first is named.

    Raises:
        FileNotFoundError: If there is no store at `path`.
    """
    path = Path(path)
    file = path / MANIFEST
    try:
        text = manifest_text(path)
        manifest = Manifest.from_json(text, file)
    except ValueError as error:
        return [str(error)]
    problems = list(_changed_files(path, manifest))
    if text != manifest.to_json():
        problems.insert(
            0, f"{file}: expected the text as it was written, found another"
        )
    try:
        store = map_store(path)
    except (ValueError, FileNotFoundError) as error:
        return problems or [str(error)]
    return problems + [f"{path}/{problem}" for problem in _contradictions(store)]


def _changed_files(path: Path, manifest: Manifest) -> Iterator[str]:
    for name, facts in manifest.files.items():
        file = path / name
        if not file.is_file():
            yield f"{file}: expected a file of {facts.bytes} bytes, found none"
            continue
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != facts.sha256:
            yield (
                f"{file}: expected the {facts.bytes} bytes that were written, found "
                f"{file.stat().st_size} others"
            )
    for file in sorted(path.iterdir()):
        if is_left_behind(file.name):
            continue
        if file.name != MANIFEST and file.name not in manifest.files:
            yield f"{file}: expected only files of this store, found another"


def _contradictions(store: FeatureStore) -> Iterator[str]:
    """Problems of a store whose files all have the right shapes."""
    museums = len(store.theme_index)
    yield from _ids(store.path, MUSEUM_IDS, museums)
    if list(store.themes) != sorted(set(store.themes)):
        yield f"{MANIFEST}: expected sorted themes, each once, found others"
    misled = list(out_of_range(store))
    yield from misled
    if misled:
        return

    def museum_of(row: int) -> str:
        return museum_name(store, owner(store.sentences, row))

    def room_of(row: int) -> str:
        return room_name(store, owner(store.views, row))

    yield from _features("sentences.npy", store.sentences.values, museum_of)
    yield from _features("views.npy", store.views.values, room_of)
    for kind in ARTWORK_KINDS:
        artworks = store.artworks(kind)
        if artworks is not None:
            yield from _artworks(store.path, kind, artworks)
    for museum in range(museums if store.texts is not None else 0):
        try:
            store.sentence_texts(museum)
        except UnicodeDecodeError as error:
            yield (
                f"sentence_texts.npy: {museum_name(store, museum)}: expected UTF-8, "
                f"found {error}"
            )
            return


def _lines(path: Path, name: str) -> Sequence[str]:
    try:
        return (path / name).read_bytes().decode().split("\n")[:-1]
    except UnicodeDecodeError:
        return []


def _ids(path: Path, name: str, count: int) -> Iterator[str]:
    ids = _lines(path, name)
    repeated = first_repeated(ids)
    if len(ids) != count:
        yield f"{name}: expected {count} ids, one per line, found {len(ids)}"
    elif repeated is not None:
        yield f"{name}: expected every id once, found {repeated!r} twice"


def _features(
    name: str, values: np.ndarray, owner_of: Callable[[int], str]
) -> Iterator[str]:
    """The first bad row of `values`, with its owner."""
    for start in range(0, len(values), _CHUNK):
        bad = bad_row(values[start : start + _CHUNK])
        if bad is not None:
            row = start + bad[0]
            yield (
                f"{name}: {owner_of(row)}: expected finite features with a direction, "
                f"row {row} holds {bad[1]}"
            )
            return


def _artworks(path: Path, kind: str, artworks: Artworks) -> Iterator[str]:
    ids_name, count = artwork_ids_name(kind), len(artworks.table)
    yield from _ids(path, ids_name, count)
    ids = _lines(path, ids_name)
    if len(ids) == count:
        yield from _features(f"{kind}.npy", artworks.table, lambda row: repr(ids[row]))
