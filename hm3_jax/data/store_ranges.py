"""Whether a store's offsets and references are valid; a cheap check.

Each generator here yields one line for each problem, which begins with the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hm3_jax.data.museum import ARTWORK_KINDS, UNKNOWN_ROOM
from hm3_jax.data.store_format import MANIFEST

if TYPE_CHECKING:
    from hm3_jax.data.store import Artworks, FeatureStore, RaggedArray


def out_of_range(store: FeatureStore) -> Iterator[str]:
    """Problems of a store whose files all have the right shapes."""
    yield from _theme_index(store)
    # Rows can be traced to museums only where all offsets on the way are in order.
    disorder = [
        *_offsets("sentences", store.sentences, least=0),
        *_in_order("room_offsets.npy", store.room_offsets, len(store.views), 1),
        *_offsets("views", store.views, least=1),
    ]
    yield from disorder
    if disorder:
        return
    yield from _splits(store)
    for kind in ARTWORK_KINDS:
        artworks = store.artworks(kind)
        if artworks is not None:
            yield from _hung(store, kind, artworks)
    if store.texts is not None:
        yield from _offsets("sentence_texts", store.texts, least=0)
    if store.sentence_rooms is not None:
        yield from _sentence_rooms(store, store.sentence_rooms)


def _theme_index(store: FeatureStore) -> Iterator[str]:
    count, used = len(store.themes), np.unique(store.theme_index)
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
    wrong = np.flatnonzero(uses != (store.sentences.lengths > 0))
    if len(wrong):
        yield (
            "split_*.npy: expected every museum with sentences in one split, others in "
            f"none, found {museum_name(store, wrong[0])} in {uses[wrong[0]]}"
        )


def _offsets(name: str, column: RaggedArray, least: int) -> Iterator[str]:
    rows = len(column.values)
    yield from _in_order(f"{name}_offsets.npy", column.offsets, rows, least)


def _in_order(name: str, offsets: np.ndarray, values: int, least: int) -> Iterator[str]:
    first, last = int(offsets[0]), int(offsets[-1])
    step = int(np.diff(offsets).min(initial=least))
    if (first, last) != (0, values) or step < least:
        yield (
            f"{name}: expected offsets from 0 to {values} in steps of at least "
            f"{least}, found {first} to {last} and a step of {step}"
        )


def _hung(store: FeatureStore, kind: str, artworks: Artworks) -> Iterator[str]:
    disorder = list(_offsets(f"{kind}_hung", artworks.hung, least=0))
    yield from disorder
    rows, count = artworks.hung.values, len(artworks.table)
    wrong = np.flatnonzero((rows < 0) | (rows >= count))
    if len(wrong) and not disorder:
        room = owner(artworks.hung, int(wrong[0]))
        yield (
            f"{kind}_hung.npy: {room_name(store, room)}: expected rows of {kind}.npy "
            f"below {count}, found {rows[wrong[0]]}"
        )


def _sentence_rooms(store: FeatureStore, rooms: np.ndarray) -> Iterator[str]:
    name = "sentence_rooms"
    counts = np.repeat(np.diff(store.room_offsets), store.sentences.lengths)
    wrong = np.flatnonzero((rooms < UNKNOWN_ROOM) | (rooms >= counts))
    if len(wrong):
        row = int(wrong[0])
        museum = museum_name(store, owner(store.sentences, row))
        yield (
            f"{name}.npy: {museum}: expected rooms from 0 to {counts[row] - 1}, or "
            f"{UNKNOWN_ROOM}, found {rooms[row]}"
        )
        return
    known = int(np.count_nonzero(rooms != UNKNOWN_ROOM))
    if known != store.manifest.counts.get(name):
        yield (
            f"{name}.npy: expected as many known rooms as {MANIFEST} says, found "
            f"{known}"
        )


def owner(column: RaggedArray, row: int) -> int:
    """Number of the owner of a row of a ragged column."""
    return int(np.searchsorted(column.offsets, row, side="right")) - 1


def museum_name(store: FeatureStore, museum: int) -> str:
    """A museum by its id, or by its number where the ids cannot be read."""
    try:
        return f"museum {store.ids[museum]!r}"
    except (OSError, ValueError, IndexError):
        return f"museum {museum}"


def room_name(store: FeatureStore, room: int) -> str:
    """A room by its museum and its place there."""
    museum = int(np.searchsorted(store.room_offsets, room, side="right")) - 1
    place = room - int(store.room_offsets[museum])
    return f"{museum_name(store, museum)}, room {place}"
