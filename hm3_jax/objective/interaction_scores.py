"""Late interaction of a batch: scores from the vectors of sentences and items.

The formula is that of `hm3_jax.objective.late_interaction`, with two more terms that
only complete descriptions have: sentences prefer rooms at the same relative place, and
the size of a description says something of the museum's. Rows of all descriptions lie
one after another, nothing padded, and sums over the rows of a museum are products with
a membership matrix, so that everything is large products.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from hm3_jax.objective.similarity import Scores

SHARPEST = 40.0
"""Bound of the soft maximum's sharpness."""

# exp() of less is 0 in float32, and so would be a museum's sum.
_LOWEST_EXPONENT = -80.0
_TINY = 1e-36


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PartVectors:
    """Descriptions by their sentences, or museums by their items.

    Attributes:
        rows: of length 1; of any kind where nothing owns them.
        owner: description or museum of each row, int32; their number for rows of none.
        order: place of each row within its description or museum, as numbers whose
            product is large where places agree; zeros in descriptions that are not
            complete. Of size 0 in models that do not look at it.
        sizes: likewise what the sizes of a description and a museum say.
        whole: vector of each description or museum as a whole.
        themes: log probability of each theme.
    """

    rows: Float[Any, "*lead rows d"]
    owner: Int[Any, "*lead rows"]
    order: Float[Any, "*lead rows places"]
    sizes: Float[Any, "*lead n sizes"]
    whole: Float[Any, "*lead n g"]
    themes: Float[Any, "*lead n themes"]

    def membership(self) -> Float[Array, "rows n"]:
        """1 where a description or museum owns a row."""
        numbers = jnp.arange(self.sizes.shape[0], dtype=self.owner.dtype)
        return (self.owner[:, None] == numbers).astype(self.rows.dtype)


@dataclasses.dataclass(frozen=True)
class LateInteraction(Scores):
    """Mean over sentences of the soft maximum over items, and what else there is.

    The soft maximum of n items is ``log(mean(exp(a c))) / a``: with a sum instead of
    the mean, large museums would be found for everything.

    Without the themes, whose weight is chosen afterwards, see `theme_agreement`.

    Attributes:
        sharpness: of the soft maximum before the first step.
    """

    sharpness: float = 20.0

    costly = True

    def parameters(self) -> dict[str, Float[Array, ""]]:
        """``log_sharpness``, float32 ()."""
        return {"log_sharpness": jnp.float32(math.log(self.sharpness))}

    def count(self, embedded: PartVectors) -> int:
        """Number of descriptions or museums."""
        return embedded.sizes.shape[0]

    def masked(self, embedded: PartVectors, valid: Bool[Array, " n"]) -> PartVectors:
        """Zeros, and no rows, where there is no description or museum."""
        none = embedded.sizes.shape[0]
        owned = jnp.append(valid, False)[embedded.owner]
        owner = jnp.where(owned, embedded.owner, none)

        def kept(x: Array, where: Array) -> Array:
            return jnp.where(where[:, None], x, 0)

        return PartVectors(
            rows=kept(embedded.rows, owned),
            owner=owner,
            order=kept(embedded.order, owned),
            sizes=kept(embedded.sizes, valid),
            whole=kept(embedded.whole, valid),
            themes=kept(embedded.themes, valid),
        )

    def gathered(self, embedded: PartVectors, axis: str) -> PartVectors:
        """Those of all devices along an axis of the mesh, inside `shard_map`."""
        here = embedded.sizes.shape[0]
        every = lax.all_gather(embedded, axis, tiled=True)
        devices = every.owner.shape[0] // embedded.owner.shape[0]
        owner = every.owner.reshape(devices, -1)
        first = jnp.arange(devices, dtype=owner.dtype)[:, None] * here
        owner = jnp.where(owner < here, owner + first, devices * here)
        return dataclasses.replace(every, owner=owner.reshape(-1))

    def prepare(self, embedded: PartVectors, params: Mapping[str, Any]) -> PartVectors:
        """Nothing is left to do."""
        del params
        return embedded

    def block(
        self,
        descriptions: PartVectors,
        museums: PartVectors,
        params: Mapping[str, Any],
    ) -> Float[Array, "descriptions museums"]:
        """Scores of all pairs."""
        sharpness = sharpness_of(params)
        cosines = _product(
            jnp.concatenate([descriptions.rows, descriptions.order], axis=1),
            jnp.concatenate([museums.rows, museums.order], axis=1),
        )
        members = museums.membership()
        owned = museums.owner < museums.sizes.shape[0]
        largest = lax.stop_gradient(
            jnp.max(jnp.where(owned, cosines, -2.0), axis=1, keepdims=True)
        )
        exponents = sharpness * (cosines - largest)
        # A museum far below the best one gets next to nothing, but not log(0).
        weights = jnp.exp(jnp.maximum(exponents, _LOWEST_EXPONENT))
        # A mean: museums with more items are not better for that.
        items = jnp.maximum(jnp.sum(members, axis=0), 1)
        means = _product(weights, members.T) / items + _TINY
        best = largest + jnp.log(means) / sharpness
        sentences = descriptions.membership()
        shares = sentences / jnp.maximum(jnp.sum(sentences, axis=0), 1)
        return (
            _product(shares.T, best.T)
            + _product(descriptions.sizes, museums.sizes)
            + _product(descriptions.whole, museums.whole)
        )


def sharpness_of(params: Mapping[str, Any]) -> Float[Array, ""]:
    """Sharpness that trained parameters stand for."""
    return jnp.clip(jnp.exp(params["log_sharpness"]), 1.0, SHARPEST)


def theme_agreement(
    descriptions: PartVectors, museums: PartVectors
) -> Float[Array, "descriptions museums"]:
    """Log probability that a description and a museum are of one theme.

    To be added to scores, times a weight.
    """
    agree = _product(jnp.exp(descriptions.themes), jnp.exp(museums.themes))
    return jnp.log(agree + _TINY)


def _product(
    left: Float[Array, "left d"], right: Float[Array, "right d"]
) -> Float[Array, "left right"]:
    return jnp.matmul(left, right.T, precision="highest")
