"""Gathers the contents of a batch's museums on the device, in the compiled step."""

import jax.numpy as jnp
from jaxtyping import Array, Int

from hm3_jax.learn.batches.features import Features, RaggedColumn
from hm3_jax.learn.batches.plan import Packings, StaticSizes
from hm3_jax.nn.ragged import Ragged, take_sets
from hm3_jax.nn.towers import Descriptions, Scenes


def descriptions(
    features: Features,
    museums: Int[Array, " batch"],
    packings: Packings,
    capacity: StaticSizes,
    spans: Int[Array, "batch 2"] | None = None,
) -> Descriptions:
    """Gathers the descriptions of one batch.

    Args:
        features: of the device.
        museums: batch, `plan.EMPTY` where a place is free (an empty description).
        packings: of this batch.
        capacity: static sizes.
        spans: parts of the descriptions, as `learn.batches.spans` makes them; None
            where all are whole.
    """
    sentences = _gather(
        features.sentences, museums, museums >= 0, capacity.sentences, spans
    )
    complete = jnp.ones(museums.shape, bool) if spans is None else spans[:, 0] < 0
    return Descriptions(sentences, packings.sentences, complete)


def scenes(
    features: Features,
    museums: Int[Array, " batch"],
    packings: Packings,
    capacity: StaticSizes,
) -> Scenes:
    """Gathers the museums of one batch; arguments as for `descriptions`."""
    rooms, rooms_of_museum = take_sets(
        features.room_offsets, museums, museums >= 0, capacity.rooms
    )
    present = jnp.arange(capacity.rooms) < jnp.sum(rooms_of_museum)
    items = {
        kind: _gather(features.items[kind], rooms, present, size)
        for kind, size in capacity.items
    }
    return Scenes(rooms_of_museum, items, packings.sequence)


def _gather(
    column: RaggedColumn,
    sets: Array,
    present: Array,
    capacity: int,
    spans: Array | None = None,
) -> Ragged:
    items, lengths = take_sets(column.offsets, sets, present, capacity, spans)
    rows = items if column.index is None else column.index[items]
    return Ragged(column.table[rows].astype(jnp.float32), lengths)
