"""Compiled scoring: embeddings of a split -> its ranks, and the loss of its batches.

`learn.evaluation.pairs` ranks where models compare more than one vector of each.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hm3_jax.learn.devices.mesh import BY_RUN, EVERYWHERE, Layout
from hm3_jax.learn.model import LOSS, SCORES, ModelSpec
from hm3_jax.objective.metrics import QueryScores, split_scores
from hm3_jax.objective.similarity import Scores


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Embeddings:
    """Embeddings of a split under the parameters of every run.

    Attributes:
        descriptions: float32 (slots, museums, d).
        museums: float32 (slots, museums, d).
        active: runs whose embeddings mean anything, bool (slots,).
        params: those of scores and loss, see `learn.model`.
        scores: what they are compared by.
    """

    descriptions: Float[Array, "slots museums d"]
    museums: Float[Array, "slots museums d"]
    active: Bool[Array, " slots"]
    params: Mapping[str, Any]
    scores: Scores = dataclasses.field(metadata={"static": True})

    @classmethod
    def of(
        cls,
        descriptions: Float[Array, "slots museums d"],
        museums: Float[Array, "slots museums d"],
        active: Bool[Array, " slots"],
        params: Mapping[str, Any],
        spec: ModelSpec,
    ) -> "Embeddings":
        """Embeddings that a model with these parameters has made."""
        own = {name: params[name] for name in (SCORES, LOSS) if name in params}
        return cls(descriptions, museums, active, own, spec.scores)


@functools.partial(jax.jit, static_argnames="layout")
def rank_embeddings(
    embeddings: Embeddings, themes: Int[Array, " museums"], *, layout: Layout
) -> tuple[tuple[QueryScores, QueryScores], Int[Array, "slots 2"]]:
    """Scores of every query of every run, and rows that are not finite or -1."""

    def bad_row(rows):
        # One number per row finds NaN, infinity, and lengths beyond float32.
        bad = ~jnp.isfinite(jnp.sum(jnp.square(rows), axis=1))
        return jnp.where(bad.any(), jnp.argmax(bad), -1)

    def one(descriptions, museums, params, themes):
        found = split_scores(
            descriptions,
            museums,
            themes,
            params.get(SCORES, {}),
            scores=embeddings.scores,
            side_by_side=layout.vector,
        )
        return found, jnp.stack([bad_row(descriptions), bad_row(museums)])

    def of_device(embeddings, themes):
        def group(of_runs, _):
            each: Callable[..., Any] = jax.vmap(one, in_axes=(0, 0, 0, None))
            return each(*of_runs, themes)

        return layout.map_groups(
            group,
            embeddings.active,
            (embeddings.descriptions, embeddings.museums, embeddings.params),
        )

    return layout.spread(of_device, (BY_RUN, EVERYWHERE), BY_RUN)(embeddings, themes)


@functools.partial(jax.jit, static_argnames=("scores", "loss", "layout"))
def batch_losses(
    compared, active, params, themes, batches, numbers, keys, *, scores, loss, layout
):
    """Losses of vectors that ``scores`` compares; of a matrix of scores without it."""

    def of_batch(compared, chosen, valid, params):
        if scores is None:
            (matrix,) = compared
            return matrix[chosen][:, chosen]
        text, scene = compared
        return scores(text[chosen], scene[chosen], valid, params.get(SCORES, {}))

    def one_run(compared, params, numbers, key, themes, batches):
        def one_batch(museums, step):
            valid = museums >= 0
            chosen = jnp.where(valid, museums, 0)
            key_of_batch = jax.random.fold_in(key, step)
            return loss(
                of_batch(compared, chosen, valid, params),
                themes[chosen],
                valid,
                numbers,
                key_of_batch,
                params.get(LOSS, {}),
            )

        steps = jnp.arange(batches.shape[0], dtype=jnp.int32)
        return jnp.mean(jax.lax.map(lambda x: one_batch(*x), (batches, steps)))

    def of_device(compared, active, params, numbers, keys, themes, batches):
        def group(of_runs, _):
            axes = (0, 0, 0, 0, None, None)
            each: Callable[..., Any] = jax.vmap(one_run, in_axes=axes)
            return each(*of_runs, themes, batches)

        return layout.map_groups(group, active, (compared, params, numbers, keys))

    specs = (BY_RUN, BY_RUN, BY_RUN, BY_RUN, BY_RUN, EVERYWHERE, EVERYWHERE)
    return layout.spread(of_device, specs, BY_RUN)(
        compared, active, params, numbers, keys, themes, batches
    )
