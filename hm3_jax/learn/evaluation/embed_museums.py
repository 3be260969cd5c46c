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
) -> Float[np.ndarray, "museums d"]:
    """Embeds museums.

    Args:
      model: trained model.
      features: that it reads, on the host.
      museums: numbers of the museums, at least one.

    Returns:
      float32, not normalised, in the order given.
    """
    layout = Layout.of(1, splits_batches=model.config.cnn1d_masking == "time")
    counts, source = MuseumSizes.of(features), place(features, layout, "auto")
    plan = plan_tower("scene", counts, museums, EMBED_BATCH, source, layout)
    params = layout.put(jax.tree.map(np.asarray, model.stacked()), BY_RUN)
    active = layout.put(np.ones(1, bool), BY_RUN)
    embedded = embed_tower(params, active, plan, layout, spec=model.spec)
    return layout.fetch(embedded)[0]


def without_each_room(
    features: Features, museums: Int[np.ndarray, " museums"]
) -> Features:
    """Museums of which one room is missing.

    Args:
      features: on the host.
      museums: numbers of museums that have two rooms at least.

    Returns:
      For each room of the first museum a museum of its other rooms, then those of the
      second, and so on. Tables are shared; sentences are those of no museum.
    """
    offsets = np.asarray(features.room_offsets, np.int64)
    rooms = np.concatenate(
        [
            np.delete(np.arange(first, last), left_out)
            for first, last in zip(offsets[museums], offsets[museums + 1], strict=True)
            for left_out in range(last - first)
        ]
    )
    lengths = np.diff(offsets)[museums]
    kept = np.repeat(lengths - 1, lengths)
    return dataclasses.replace(
        features,
        sentences=dataclasses.replace(
            features.sentences, offsets=np.zeros(len(kept) + 1, np.int32)
        ),
        items={kind: _of_rooms(c, rooms) for kind, c in features.items.items()},
        room_offsets=np.cumsum([0, *kept]).astype(np.int32),
        themes=np.zeros(len(kept), np.int32),
    )


def _of_rooms(column: RaggedColumn, rooms: Int[np.ndarray, " rooms"]) -> RaggedColumn:
    """A column of some rooms, which may occur more than once."""
    offsets = np.asarray(column.offsets, np.int64)
    lengths = np.diff(offsets)[rooms]
    ends = np.cumsum(lengths)
    items = np.arange(lengths.sum()) + np.repeat(
        offsets[rooms] - (ends - lengths), lengths
    )
    index = items if column.index is None else column.index[items]
    return RaggedColumn(
        column.table,
        np.concatenate([[0], ends]).astype(np.int32),
        index.astype(np.int32),
    )
