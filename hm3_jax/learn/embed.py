"""Embeddings of many museums with a trained model, batch after batch.

Batches hold museums of similar length, so that the recurrences run over little padding.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from hm3_jax.learn import order
from hm3_jax.learn.features import (
    Capacity,
    Counts,
    Features,
    descriptions,
    pack_batches,
    scenes,
)
from hm3_jax.nn.towers import TwoTowers


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class EmbeddingPlan:
    """How the museums of a split are cut into batches, for each tower.

    Attributes:
      text: batches by number of sentences, int32 (batches, batch).
      scene: batches by length of the museum's sequence, int32 (batches, batch).
      text_place: where each museum of the split ends up in `text`, row by row.
      scene_place: the same for `scene`.
      capacity: static sizes.
    """

    text: Int[Array, "batches batch"]
    scene: Int[Array, "batches batch"]
    text_place: Int[Array, " museums"]
    scene_place: Int[Array, " museums"]
    capacity: Capacity = dataclasses.field(metadata={"static": True})


def plan_embedding(
    counts: Counts, museums: Int[np.ndarray, " museums"], batch_size: int
) -> EmbeddingPlan:
    """Plans the embedding of some museums.

    Args:
      counts: of the store.
      museums: numbers of the museums, in the order the embeddings are wanted in.
      batch_size: museums of a batch.
    """
    if len(museums) == 0:
        raise ValueError("expected at least one museum to embed, found none")
    # Without a recurrence nothing is gained by another order, and the published
    # channel masking looks at batch-mates: those are then neighbours in the split.
    steps = counts.steps
    lengths = np.zeros_like(counts.rooms) if steps is None else steps
    text, text_place = _by_length(counts.sentences, museums, batch_size)
    scene, scene_place = _by_length(lengths, museums, batch_size)
    return EmbeddingPlan(
        text=jnp.asarray(text),
        scene=jnp.asarray(scene),
        text_place=jnp.asarray(text_place),
        scene_place=jnp.asarray(scene_place),
        capacity=counts.capacity(np.concatenate([text, scene])[None]),
    )


def _by_length(lengths, museums, batch_size):
    by_length = np.argsort(lengths[museums], kind="stable")
    place = np.empty(len(museums), np.int32)
    place[by_length] = np.arange(len(museums), dtype=np.int32)
    return order.in_batches(museums[by_length], batch_size), place


@functools.partial(jax.jit, static_argnames="graph")
def embed(
    params: Any, features: Features, plan: EmbeddingPlan, *, graph: nnx.GraphDef
) -> tuple[Float[Array, "runs museums d"], Float[Array, "runs museums d"]]:
    """Embeds descriptions and museums with the parameters of every run.

    Args:
      params: with a leading axis of runs.
      features: of the store.
      plan: which museums.
      graph: graph definition of the model.

    Returns:
      Embeddings of descriptions and of museums, in the order of the plan's museums.
    """

    def tower(method, gather, batches, place):
        def batch(_, museums):
            packings = pack_batches(features, museums[None], plan.capacity)
            gathered = gather(features, museums, packings, plan.capacity)

            def one(params):
                return method(nnx.merge(graph, params), gathered)

            return None, jax.vmap(one)(params)

        _, out = jax.lax.scan(batch, None, batches)
        runs, size = out.shape[1], out.shape[-1]
        return jnp.moveaxis(out, 1, 0).reshape(runs, -1, size)[:, place]

    return (
        tower(TwoTowers.embed_descriptions, descriptions, plan.text, plan.text_place),
        tower(TwoTowers.embed_scenes, scenes, plan.scene, plan.scene_place),
    )
