"""The thorough check of a feature store: every byte, every reference."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hm3_jax.data.museum import (
    ARTWORK_KINDS,
    UNKNOWN_ROOM,
    bad_row,
    first_repeated,
)
from hm3_jax.data.store import (
    Artworks,
    FeatureStore,
    RaggedArray,
    manifest_text,
    open_store,
)
from hm3_jax.data.store_format import (
    MANIFEST,
    MUSEUM_IDS,
    Manifest,
    artwork_ids_name,
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
        store = open_store(path)
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
    yield from _themes(store)
    yield from _splits(store)
    # Rows can be traced to museums only where all offsets on the way are in order.
    rooms_by_museum = RaggedArray(np.empty(len(store.views)), store.room_offsets)
    disorder = [
        *_offsets("sentences_offsets.npy", store.sentences, least=1),
        *_offsets("room_offsets.npy", rooms_by_museum, least=1),
        *_offsets("views_offsets.npy", store.views, least=1),
    ]
    if disorder:
        yield from disorder
        return
    names = [f"museum {name!r}" for name in _lines(store.path, MUSEUM_IDS)]
    # Ids that cannot be read have been reported; numbers do for them.
    if len(names) != museums:
        names = [f"museum {i}" for i in range(museums)]
    rooms = [
        f"{name}, room {room}"
        for name, count in zip(names, rooms_by_museum.lengths, strict=True)
        for room in range(count)
    ]
    yield from _features(
        "sentences.npy", store.sentences.values, store.sentences, names
    )
    yield from _features("views.npy", store.views.values, store.views, rooms)
    for kind in ARTWORK_KINDS:
        artworks = store.artworks(kind)
        if artworks is not None:
            yield from _artworks(store.path, kind, artworks, rooms)
    if store.texts is not None:
        yield from _texts(store, store.texts, names)
    if store.sentence_rooms is not None:
        yield from _sentence_rooms(store, store.sentence_rooms, names)


def _lines(path: Path, name: str) -> Sequence[str]:
    try:
        return (path / name).read_bytes().decode().split("\n")[:-1]
    except UnicodeDecodeError:
        return []


def _ids(path: Path, name: str, count: int) -> Iterator[str]:
    ids = _lines(path, name)
    repeated = first_repeated(ids)
    if len(ids) != count:
        yield f"{name}: expected {count} ids, one a line, found {len(ids)}"
    elif repeated is not None:
        yield f"{name}: expected every id once, found {repeated!r} twice"


def _themes(store: FeatureStore) -> Iterator[str]:
    count = len(store.themes)
    if list(store.themes) != sorted(set(store.themes)):
        yield f"{MANIFEST}: expected sorted themes, each once, found others"
    used = np.unique(store.theme_index)
    if not np.array_equal(used, np.arange(count)):
        yield (
            f"theme_index.npy: expected the indices of {count} themes, each used, "
            f"found {len(used)} from {used[0]} to {used[-1]}"
        )


def _splits(store: FeatureStore) -> Iterator[str]:
    museums = len(store.theme_index)
    uses = np.zeros(museums, np.int64)
    for name, split in store.splits.items():
        if split.min(initial=0) < 0 or split.max(initial=0) >= museums:
            yield f"split_{name}.npy: expected indices below {museums}, found others"
            return
        np.add.at(uses, split, 1)
    wrong = np.flatnonzero(uses != 1)
    if len(wrong):
        yield (
            f"split_*.npy: expected every museum in one split, found museum "
            f"{store.ids[wrong[0]]!r} in {uses[wrong[0]]}"
        )


def _offsets(name: str, column: RaggedArray, least: int) -> Iterator[str]:
    first, last = int(column.offsets[0]), int(column.offsets[-1])
    step = int(column.lengths.min(initial=least))
    if (first, last) != (0, len(column.values)) or step < least:
        yield (
            f"{name}: expected offsets from 0 to {len(column.values)} in steps of at "
            f"least {least}, found {first} to {last} and a step of {step}"
        )


def _features(
    name: str, values: np.ndarray, column: RaggedArray | None, owners: Sequence[str]
) -> Iterator[str]:
    """The first bad row of `values`; its owner's name by `column`, or by row."""
    for start in range(0, len(values), _CHUNK):
        bad = bad_row(values[start : start + _CHUNK])
        if bad is not None:
            row = start + bad[0]
            yield (
                f"{name}: {_owner(column, row, owners)}: expected finite features with "
                f"a direction, row {row} holds {bad[1]}"
            )
            return


def _artworks(
    path: Path, kind: str, artworks: Artworks, rooms: Sequence[str]
) -> Iterator[str]:
    ids_name, count = artwork_ids_name(kind), len(artworks.table)
    yield from _ids(path, ids_name, count)
    ids = _lines(path, ids_name)
    if len(ids) == count:
        yield from _features(f"{kind}.npy", artworks.table, None, ids)
    disorder = list(_offsets(f"{kind}_hung_offsets.npy", artworks.hung, least=0))
    yield from disorder
    values = artworks.hung.values
    unknown = np.flatnonzero((values < 0) | (values >= count))
    if len(unknown) and not disorder:
        owner = _owner(artworks.hung, int(unknown[0]), rooms)
        yield (
            f"{kind}_hung.npy: {owner}: expected rows of {kind}.npy below {count}, "
            f"found {values[unknown[0]]}"
        )


def _texts(
    store: FeatureStore, texts: RaggedArray, names: Sequence[str]
) -> Iterator[str]:
    disorder = list(_offsets("sentence_texts_offsets.npy", texts, least=0))
    yield from disorder
    for museum in range(0 if disorder else len(names)):
        try:
            store.sentence_texts(museum)
        except UnicodeDecodeError as error:
            yield f"sentence_texts.npy: {names[museum]}: expected UTF-8, found {error}"
            return


def _sentence_rooms(
    store: FeatureStore, rooms: np.ndarray, names: Sequence[str]
) -> Iterator[str]:
    name = "sentence_rooms.npy"
    if rooms.dtype != np.int32:
        yield f"{name}: expected int32, found {rooms.dtype}"
        return
    counts = np.repeat(np.diff(store.room_offsets), store.sentences.lengths)
    wrong = np.flatnonzero((rooms < UNKNOWN_ROOM) | (rooms >= counts))
    if len(wrong):
        row = int(wrong[0])
        yield (
            f"{name}: {_owner(store.sentences, row, names)}: expected rooms from 0 to "
            f"{counts[row] - 1}, or {UNKNOWN_ROOM}, found {rooms[row]}"
        )
        return
    known = int(np.count_nonzero(rooms != UNKNOWN_ROOM))
    if known != store.manifest.counts.get(name.removesuffix(".npy")):
        yield f"{name}: expected as many known rooms as {MANIFEST} says, found {known}"


def _owner(column: RaggedArray | None, row: int, owners: Sequence[str]) -> str:
    if column is None:
        return repr(owners[row])
    return owners[int(np.searchsorted(column.offsets, row, side="right")) - 1]
