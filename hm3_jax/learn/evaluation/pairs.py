"""Scores of all pairs of a split, for models that compare sentences with items."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from hm3_jax.learn.devices.mesh import BY_RUN, EVERYWHERE, Layout
from hm3_jax.learn.model import LOSS, SCORES, ModelSpec
from hm3_jax.objective.interaction_scores import PartVectors, theme_agreement
from hm3_jax.objective.metrics import QueryScores
from hm3_jax.objective.ranking import matrix_scores

# Similarities of a block of rankings: some 90 MB of temporaries.
_BLOCK_ELEMENTS = 2**20


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PairScores:
    """Scores of a split under the parameters of every run.

    Attributes:
        scores: of descriptions (rows) and museums, float32, without themes.
        themes: what a weight of 1 adds for the themes; zeros in models without.
        active: runs whose scores mean anything.
        params: those of the loss, see `learn.model`.
    """

    scores: Float[Array, "slots museums museums"]
    themes: Float[Array, "slots museums museums"]
    active: Bool[Array, " slots"]
    params: Mapping[str, Any]

    def weighted(self, weight: float) -> Float[Array, "slots museums museums"]:
        """Scores with a weight of the themes."""
        return self.scores if weight == 0 else self.scores + weight * self.themes


def score_pairs(
    descriptions: PartVectors,
    museums: PartVectors,
    params: Mapping[str, Any],
    active: Bool[Array, " slots"],
    *,
    count: int,
    spec: ModelSpec,
    layout: Layout,
) -> PairScores:
    """Scores all pairs, a tile of descriptions and a tile of museums at a time.

    Args:
        descriptions: with leading axes of slots and tiles, as `embed_tower` gives them.
        museums: likewise.
        params: of the model, with a leading axis of slots.
        active: runs that are wanted; others may get zeros.
        count: museums of the split, which fill the tiles in order.
        spec: structure of the model.
        layout: of the devices.
    """
    own = {name: params[name] for name in (SCORES, LOSS) if name in params}
    scores, themes = _scored(
        descriptions, museums, own, active, count=count, spec=spec, layout=layout
    )
    return PairScores(scores, themes, active, own)


@functools.partial(jax.jit, static_argnames=("count", "spec", "layout"))
def _scored(descriptions, museums, params, active, *, count, spec, layout):
    scores = spec.scores

    def one_run(descriptions, museums, params):
        of_scores = params.get(SCORES, {})

        def row(described):
            def tile(shown):
                return (
                    scores.block(described, shown, of_scores),
                    theme_agreement(described, shown),
                )

            return jax.tree.map(
                # (tiles, descriptions, museums of a tile)
                lambda x: jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1)[:, :count],
                lax.map(tile, museums),
            )

        return jax.tree.map(
            lambda x: x.reshape(-1, count)[:count], lax.map(row, descriptions)
        )

    def of_device(descriptions, museums, params, active):
        def group(of_runs, _):
            # One run after another: a matrix is large, and its products fill a device.
            return lax.map(lambda x: one_run(*x), of_runs)

        return layout.map_groups(group, active, (descriptions, museums, params))

    specs = (BY_RUN, BY_RUN, BY_RUN, BY_RUN)
    return layout.spread(of_device, specs, BY_RUN)(
        descriptions, museums, params, active
    )


@functools.partial(jax.jit, static_argnames="layout")
def rank_pairs(
    scores: Float[Array, "slots museums museums"],
    active: Bool[Array, " slots"],
    themes: Int[Array, " museums"],
    *,
    layout: Layout,
) -> tuple[tuple[QueryScores, QueryScores], Int[Array, "slots 2"]]:
    """Scores of every query of every run, and rows and columns not finite, or -1."""
    block = max(1, min(len(themes), _BLOCK_ELEMENTS // len(themes)))

    def bad(found: Bool[Array, " n"]) -> Int[Array, ""]:
        return jnp.where(found.any(), jnp.argmax(found), -1).astype(jnp.int32)

    def one_run(scores, themes):
        wrong = ~jnp.isfinite(scores)
        # A description that is not finite spoils a row, and with it every column.
        rows, columns = jnp.all(wrong, axis=1), jnp.all(wrong, axis=0)
        found = matrix_scores(scores, themes, block_size=block)
        return found, jnp.stack([bad(rows | wrong.any()), bad(columns)])

    def of_device(scores, active, themes):
        def group(scores, _):
            return lax.map(lambda x: one_run(x, themes), scores)

        return layout.map_groups(group, active, scores)

    return layout.spread(of_device, (BY_RUN, BY_RUN, EVERYWHERE), BY_RUN)(
        scores, active, themes
    )
