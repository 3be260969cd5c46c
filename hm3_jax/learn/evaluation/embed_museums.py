"""Museums embedded by a saved model: whole ones, and each without one of its rooms."""

import dataclasses

import jax
import numpy as np
from jaxtyping import Float, Int

from hm3_jax.learn.batches.features import Features, RaggedColumn
from hm3_jax.learn.batches.placement import place
from hm3_jax.learn.batches.plan import MuseumSizes
from hm3_jax.learn.devices.mesh import BY_RUN, Layout
from hm3_jax.learn.evaluation.embed import embed_tower, plan_tower
from hm3_jax.learn.evaluation.split import EMBED_BATCH
from hm3_jax.learn.model import Model


def embed_museums(
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
    layout = Layout.of(1, splits_batches=model.config.cnn1d_masking == "time")
    chosen = with_rooms_left_out(features, museums)
    counts, placed = MuseumSizes.of(chosen), place(chosen, layout, "auto")
    every = np.arange(len(chosen.themes))
    plan = plan_tower("scene", counts, every, EMBED_BATCH, placed, layout)
    params = layout.put(jax.tree.map(np.asarray, model.stacked()), BY_RUN)
    active = layout.put(np.ones(1, bool), BY_RUN)
    embedded = layout.fetch(embed_tower(params, active, plan, layout, spec=model.spec))
    return embedded[0, : len(museums)], embedded[0, len(museums) :]


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
