"""Embeddings of many museums with trained models, batch after batch.

Batches hold museums of similar length, so that the recurrences run over little padding.
They are shared by all runs and spread over the data axis.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from hm3_jax.learn.batches.features import Features
from hm3_jax.learn.batches.gather import descriptions, scenes
from hm3_jax.learn.batches.placement import Feed, PlacedFeatures
from hm3_jax.learn.batches.plan import (
    Batches,
    MuseumSizes,
    StaticSizes,
    in_batches,
    packings,
)
from hm3_jax.learn.devices.mesh import BY_DEVICE, BY_RUN, DATA, EVERYWHERE, Layout
from hm3_jax.learn.model import ModelSpec
from hm3_jax.objective.ranking import TILE

Tower = Literal["text", "scene"]
TOWERS: tuple[Tower, Tower] = ("text", "scene")


@dataclasses.dataclass(frozen=True)
class TowerPlan:
    """How the museums of a split are cut into batches for one tower.

    Attributes:
        tower: which one.
        batches: museums by the length of what the tower's recurrence reads.
        place: where each museum of the split ends up, over data devices, batches and
            places in a batch; None where batches are wanted as they are, in tiles.
        feed: brings the batches to the devices.
        capacity: static sizes.
    """

    tower: Tower
    batches: Batches
    place: Int[np.ndarray, " museums"] | None
    feed: Feed
    capacity: StaticSizes


@dataclasses.dataclass(frozen=True)
class EmbeddingPlan:
    """How the museums of a split are embedded.

    Attributes:
        text: plan for the descriptions.
        scene: plan for the museums.
        layout: of the devices.
    """

    text: TowerPlan
    scene: TowerPlan
    layout: Layout


def plan_tiles(
    tower: Tower,
    counts: MuseumSizes,
    museums: Int[np.ndarray, " museums"],
    source: PlacedFeatures,
    layout: Layout,
    spans: Int[np.ndarray, "all_museums 2"] | None = None,
) -> TowerPlan:
    """Plans one tower's part in tiles of `TILE` museums, in their order.

    Arguments and errors as for `plan_tower`.
    """
    _check_any(museums)
    batches = in_batches(museums, TILE)
    in_order = None if spans is None else spans[batches]
    planned = counts.plan_shared(batches, layout, in_order)
    return TowerPlan(
        tower=tower,
        batches=planned,
        place=None,
        feed=source.feed([planned]),
        capacity=counts.capacity([planned]),
    )


def _check_any(museums: Int[np.ndarray, " museums"]) -> None:
    if len(museums) == 0:
        raise ValueError("expected at least one museum to embed, found none")


def plan_embedding(
    counts: MuseumSizes,
    museums: Int[np.ndarray, " museums"],
    batch_size: int,
    source: PlacedFeatures,
    layout: Layout,
) -> EmbeddingPlan:
    """Plans the embedding of some museums.

    Args:
        counts: of the store.
        museums: numbers of the museums, in the order the embeddings are wanted in.
        batch_size: museums of a batch.
        source: of the features.
        layout: of the devices.

    Raises:
        ValueError: there is no museum.
    """
    text, scene = (
        plan_tower(tower, counts, museums, batch_size, source, layout)
        for tower in TOWERS
    )
    return EmbeddingPlan(text, scene, layout)


def plan_tower(
    tower: Tower,
    counts: MuseumSizes,
    museums: Int[np.ndarray, " museums"],
    batch_size: int,
    source: PlacedFeatures,
    layout: Layout,
    spans: Int[np.ndarray, "all_museums 2"] | None = None,
) -> TowerPlan:
    """Plans one tower's part; other arguments and errors as for `plan_embedding`.

    Args:
        tower: which one.
        counts: of the store.
        museums: numbers of the museums.
        batch_size: museums of a batch.
        source: of the features.
        layout: of the devices.
        spans: part of the description of every museum of the store; None for all whole.
    """
    _check_any(museums)
    # Without a recurrence nothing is gained by another order, and the published
    # channel masking looks at batch-mates: those are then neighbours in the split.
    steps = counts.steps
    of_museums = None if spans is None else spans[museums]
    lengths = {
        "text": counts.sentences_read(museums, of_museums),
        "scene": (np.zeros_like(counts.rooms) if steps is None else steps)[museums],
    }
    by_length = np.argsort(lengths[tower], kind="stable")
    place = np.empty(len(museums), np.int32)
    place[by_length] = np.arange(len(museums), dtype=np.int32)
    batches = in_batches(museums[by_length], batch_size)
    in_order = None if spans is None else spans[batches]
    planned = counts.plan_shared(batches, layout, in_order)
    return TowerPlan(
        tower=tower,
        batches=planned,
        place=place,
        feed=source.feed([planned]),
        capacity=counts.capacity([planned]),
    )


def of_one_size(
    plans: Sequence[TowerPlan], counts: MuseumSizes, source: PlacedFeatures
) -> list[TowerPlan]:
    """Plans of a tower that share static sizes: one compilation serves them all.

    Args:
        plans: of the same museums.
        counts: of the store.
        source: of the features.
    """
    if not plans:
        return []
    planned = [plan.batches for plan in plans]
    feed, capacity = source.feed(planned), counts.capacity(planned)
    return [dataclasses.replace(p, feed=feed, capacity=capacity) for p in plans]


def embed(
    params: Any,
    active: Bool[Array, " slots"],
    plan: EmbeddingPlan,
    *,
    spec: ModelSpec,
) -> tuple[Float[Array, "slots museums d"], Float[Array, "slots museums d"]]:
    """Embeds descriptions and museums with the parameters of every run.

    Args:
        params: with a leading axis of slots.
        active: runs that are wanted; others may get zeros.
        plan: which museums.
        spec: structure of the model.

    Returns:
        Embeddings of descriptions and of museums, in the order of the plan's museums.
    """
    text, scene = (
        embed_tower(params, active, part, plan.layout, spec=spec)
        for part in (plan.text, plan.scene)
    )
    return text, scene


def embed_tower(
    params: Any,
    active: Bool[Array, " slots"],
    plan: TowerPlan,
    layout: Layout,
    *,
    spec: ModelSpec,
) -> Any:
    """Embeds what one tower reads; other arguments as for `embed`.

    Returns:
        What the tower makes, with leading axes of slots and museums, in the order of
        the plan's; of slots and tiles where it is planned in tiles.
    """
    blocks = [
        _embed_block(
            params,
            active,
            block.batches,
            block.features,
            tower=plan.tower,
            spec=spec,
            capacity=plan.capacity,
            layout=layout,
        )
        for block in plan.feed.blocks(plan.batches)
    ]
    if plan.place is None:
        return _joined(blocks)
    return _ordered(blocks, layout.put(plan.place, EVERYWHERE))


@functools.partial(jax.jit, static_argnames=("tower", "spec", "capacity", "layout"))
def _embed_block(
    params: Any,
    active: Bool[Array, " slots"],
    batches: Batches,
    features: Features,
    *,
    tower: Tower,
    spec: ModelSpec,
    capacity: StaticSizes,
    layout: Layout,
) -> Any:
    method, gather = {
        "text": ("embed_descriptions", descriptions),
        "scene": ("embed_scenes", scenes),
    }[tower]

    def of_device(params, active, batches, features):
        # These batches are of no run: there is one place for all.
        batches = jax.tree.map(lambda x: x[0], batches.local())
        features = features.local()

        def batch(params, x):
            museums, spans, sentences, sequence = x
            packing = packings(sentences, sequence, capacity)
            parts = {} if spans is None else {"spans": spans}
            gathered = gather(features, museums, packing, capacity, **parts)

            def one(params):
                return getattr(spec.towers(params), method)(gathered)

            return params, jax.vmap(one)(params)

        def group(params, _):
            xs = (batches.museums, batches.spans, batches.sentences, batches.sequence)
            embedded = lax.scan(batch, params, xs)[1]
            return jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), embedded)

        embedded = layout.map_groups(group, active, params)
        return lax.all_gather(embedded, DATA, axis=1)

    return layout.spread(
        of_device,
        (BY_RUN, BY_RUN, BY_DEVICE, BY_DEVICE if features.fed else EVERYWHERE),
        BY_RUN,
    )(params, active, batches, features)


@jax.jit
def _ordered(blocks: list[Array], place: Int[Array, " museums"]) -> Array:
    rows = _joined(blocks)
    return rows.reshape(rows.shape[0], -1, rows.shape[-1])[:, place]


@jax.jit
def _joined(blocks: list[Any]) -> Any:
    """Batches of all blocks and data devices, one after another."""

    def joined(*leaves: Array) -> Array:
        every = jnp.concatenate(leaves, axis=2)
        slots, devices, steps = every.shape[:3]
        return every.reshape(slots, devices * steps, *every.shape[3:])

    return jax.tree.map(joined, *blocks)
