"""Museums embedded by a saved model, for an index.

One vector per museum, and one without each of its rooms; or a vector for every item.
"""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Float, Int

from hm3_jax.files.arrays import owned_rows
from hm3_jax.files.input_kinds import ROOM_KINDS
from hm3_jax.learn.batches.features import Features, RaggedColumn
from hm3_jax.learn.batches.placement import place
from hm3_jax.learn.batches.plan import MuseumSizes
from hm3_jax.learn.devices.mesh import BY_RUN, Layout
from hm3_jax.learn.evaluation.embed import embed_tower, plan_tiles, plan_tower
from hm3_jax.learn.evaluation.split import EMBED_BATCH
from hm3_jax.learn.model import SCORES, Model
from hm3_jax.objective.interaction_scores import PartVectors, sharpness_of
from hm3_jax.objective.late_interaction import MuseumVectors, item_bias
from hm3_jax.objective.ranking import TILE

_KIND = {kind: number for number, kind in enumerate(ROOM_KINDS)}


def embed_without_rooms(
    model: Model, features: Features, museums: Int[np.ndarray, " museums"]
) -> tuple[Float[np.ndarray, "museums d"], Float[np.ndarray, "variants d"]]:
    """Embeds museums, and each of them without each of its rooms.

    What they hold goes to the devices once, and nothing else does.

    Args:
        model: trained model.
        features: that it reads, on the host.
        museums: numbers of the museums, at least one.

    Returns:
        float32, not normalised, in the order given; and of museums with two rooms at
        least those without their first room, without their second, and so on.
    """
    chosen = with_rooms_left_out(features, museums)
    embedded = embed_whole_museums(model, chosen, np.arange(len(chosen.themes)))
    return embedded[: len(museums)], embedded[len(museums) :]


def embed_whole_museums(
    model: Model, features: Features, museums: Int[np.ndarray, " museums"]
) -> Float[np.ndarray, "museums d"]:
    """Embeds museums, one vector each.

    Args:
        model: trained model.
        features: that it reads, on the host.
        museums: numbers of the museums, at least one.

    Returns:
        float32, not normalised, in the order given.
    """
    layout = Layout.of(1, splits_batches=model.config.cnn1d_masking == "time")
    counts, placed = MuseumSizes.of(features), place(features, layout, "auto")
    plan = plan_tower("scene", counts, museums, EMBED_BATCH, placed, layout)
    params = layout.put(jax.tree.map(np.asarray, model.stacked()), BY_RUN)
    active = layout.put(np.ones(1, bool), BY_RUN)
    embedded = layout.fetch(embed_tower(params, active, plan, layout, spec=model.spec))
    return embedded[0, : len(museums)]


def embed_items(
    model: Model, features: Features, museums: Int[np.ndarray, " museums"]
) -> MuseumVectors:
    """Embeds the items of museums, by a model that compares sentences with items.

    Args:
        model: trained, or one that search without training uses.
        features: that it reads, on the host.
        museums: numbers of the museums, at least one.

    Returns:
        float32, in the order given; the items of a museum room by room, those of a
        room kind by kind, as they hang there.
    """
    layout = Layout.of(1)
    counts, placed = MuseumSizes.of(features), place(features, layout, "auto")
    plan = plan_tiles("scene", counts, museums, placed, layout)
    params = layout.put(jax.tree.map(np.asarray, model.stacked()), BY_RUN)
    active = layout.put(np.ones(1, bool), BY_RUN)
    embedded: PartVectors = layout.fetch(
        embed_tower(params, active, plan, layout, spec=model.spec)
    )
    parts = [
        _of_tile(
            features,
            museums[first : first + TILE],
            embedded.rows[0, tile],
            plan.capacity.items,
        )
        for tile, first in enumerate(range(0, len(museums), TILE))
    ]
    items, per_museum, rooms, kinds, places = map(
        np.concatenate, zip(*parts, strict=True)
    )
    count, offsets = len(museums), np.concatenate([[0], np.cumsum(per_museum)])
    return MuseumVectors(
        items=items,
        offsets=offsets,
        rooms=rooms,
        kinds=kinds,
        places=places,
        bias=item_bias(offsets, float(sharpness_of(model.params[SCORES]))),
        vectors=_by_museum(embedded.whole, count),
        themes=_by_museum(embedded.themes, count),
    )


def _by_museum(
    tiles: Float[np.ndarray, "one tiles tile x"], count: int
) -> Float[np.ndarray, "museums x"]:
    every = tiles[0]
    return every.reshape(every.shape[0] * every.shape[1], every.shape[2])[:count]


def _of_tile(
    features: Features,
    museums: Int[np.ndarray, " museums"],
    rows: Float[np.ndarray, "capacity d"],
    sizes_of_kinds: Sequence[tuple[str, int]],
) -> tuple[np.ndarray, ...]:
    """A tile's vectors in the order of the museums' rooms.

    Args:
        features: as for `embed_items`.
        museums: of the tile.
        rows: vectors, kind after kind, each with its padding.
        sizes_of_kinds: kinds in that order, and rows of each.

    Returns:
        Vectors; items of each museum; room, kind and place of each item.
    """
    offsets = np.asarray(features.room_offsets, np.int64)
    rooms = owned_rows(offsets, museums)
    sizes = offsets[museums + 1] - offsets[museums]
    owner = np.repeat(np.arange(len(museums)), sizes)
    number = np.arange(len(rooms)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    row, columns, first = [], [], 0
    for kind, size in sizes_of_kinds:
        lengths = np.diff(np.asarray(features.items[kind].offsets, np.int64))[rooms]
        room = np.repeat(np.arange(len(rooms)), lengths)
        place = np.arange(len(room)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        row.append(first + np.arange(len(room)))
        columns.append(np.stack([room, np.full_like(room, _KIND[kind]), place]))
        first += size
    room, kind, place = np.concatenate(columns, axis=1)
    order = np.lexsort((place, kind, room))
    return (
        rows[np.concatenate(row)[order]],
        np.bincount(owner[room], minlength=len(museums)),
        number[room[order]].astype(np.int32),
        kind[order].astype(np.uint8),
        place[order].astype(np.int32),
    )


def with_rooms_left_out(
    features: Features, museums: Int[np.ndarray, " museums"]
) -> Features:
    """Some museums, and those of them with several rooms without each one.

    Args:
        features: on the host.
        museums: numbers of museums.

    Returns:
        The museums; then for each room of the first that has several a museum of its
        other rooms, then those of the second, and so on. Tables have the rows that
        these use; there are no sentences.
    """
    offsets = np.asarray(features.room_offsets, np.int64)
    bounds = zip(offsets[museums].tolist(), offsets[museums + 1].tolist(), strict=True)
    whole = [np.arange(first, last) for first, last in bounds]
    several = [rooms for rooms in whole if len(rooms) > 1]
    sets = whole + [np.delete(rooms, i) for rooms in several for i in range(len(rooms))]
    rooms = np.concatenate(sets)
    count = len(sets)
    return dataclasses.replace(
        features,
        sentences=RaggedColumn(
            features.sentences.table[:0], np.zeros(count + 1, np.int32)
        ),
        items={kind: _of_rooms(c, rooms) for kind, c in features.items.items()},
        room_offsets=np.cumsum([0, *map(len, sets)]).astype(np.int32),
        themes=np.zeros(count, np.int32),
    )


def _of_rooms(column: RaggedColumn, rooms: Int[np.ndarray, " rooms"]) -> RaggedColumn:
    """A column of some rooms, which may occur more than once; a row of it once."""
    offsets = np.asarray(column.offsets, np.int64)
    lengths = np.diff(offsets)[rooms]
    ends = np.cumsum(lengths)
    items = np.arange(lengths.sum()) + np.repeat(
        offsets[rooms] - (ends - lengths), lengths
    )
    index = items if column.index is None else np.asarray(column.index)[items]
    used, index = np.unique(index, return_inverse=True)
    return RaggedColumn(
        np.asarray(column.table[used]),
        np.concatenate([[0], ends]).astype(np.int32),
        index.astype(np.int32),
    )
