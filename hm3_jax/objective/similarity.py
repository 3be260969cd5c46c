"""Scores of descriptions and museums: how well they match."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Under the root of a norm, so that a zero vector has similarity 0 with everything
# and a finite gradient, as in the published release.
NORM_EPSILON = 1e-18

Parameters = Mapping[str, Array]


class Scores(abc.ABC):
    """One definition of a score, for training, validation, metrics and index.

    Frozen and hashable, for `static_argnames`. What a model makes of a description or
    a museum may be any tree of arrays that have it as their leading axis: one vector,
    or several and a mask. Parameters (a sharpness, a bias) are trained with the
    model's and saved in its checkpoints.
    """

    def parameters(self) -> dict[str, Array]:
        """Initial parameters of the scores' own; none unless they say otherwise."""
        return {}

    @abc.abstractmethod
    def prepare(self, embedded: Any, params: Parameters) -> Any:
        """What `block` reads of descriptions or museums: work done once for each.

        Args:
            embedded: a tree with a leading axis of descriptions or of museums.
            params: as `parameters` gives them, after some training.
        """

    @abc.abstractmethod
    def block(
        self, descriptions: Any, museums: Any, params: Parameters
    ) -> Float[Array, "descriptions museums"]:
        """Scores of all pairs of prepared descriptions and museums; larger is better.

        Args:
            descriptions: as `prepare` gives them.
            museums: as `prepare` gives them, any number.
            params: as for `prepare`.
        """

    def __call__(
        self,
        descriptions: Any,
        museums: Any,
        valid: Bool[Array, " batch"] | None = None,
        params: Parameters | None = None,
    ) -> Float[Array, "batch batch"]:
        """Scores of every description of a batch with every museum of it.

        Args:
            descriptions: embedded descriptions.
            museums: embedded museums; row ``i`` belongs to description ``i``.
            valid: rows that hold a pair. The others are replaced by zeros first, so
                that whatever stands in the padding, NaN included, reaches neither the
                values nor the gradient of the rest. Without it, every row counts.
            params: as `parameters` gives them, after some training; those without it.

        Raises:
            ValueError: the two are not of one number of rows.
        """
        rows = [{len(x) for x in jax.tree.leaves(t)} for t in (descriptions, museums)]
        if rows[0] != rows[1] or len(rows[0]) != 1:
            raise ValueError(
                "expected descriptions and museums of one batch, found "
                f"{_shapes(descriptions)} and {_shapes(museums)}"
            )
        own = self.parameters() if params is None else params

        if valid is not None:

            def kept(x: Array) -> Array:
                return jnp.where(valid.reshape(-1, *(1,) * (x.ndim - 1)), x, 0)

            descriptions, museums = jax.tree.map(kept, (descriptions, museums))
        return self.block(
            self.prepare(descriptions, own), self.prepare(museums, own), own
        )


@dataclasses.dataclass(frozen=True)
class CosineScores(Scores):
    """Cosine of two vectors, float ``(n, d)`` each; no parameters.

    Between -1 and 1 up to rounding. The product runs at full float32 precision on
    every device.

    References:
      HM3 (ICMR 2025), and its published release.

    >>> import jax.numpy as jnp
    >>> CosineScores()(jnp.eye(2), jnp.array([[3.0, 0.0], [1.0, 1.0]])).round(3)
    Array([[1.   , 0.707],
           [0.   , 0.707]], dtype=float32)
    """

    def prepare(
        self, embedded: Float[Array, "n d"], params: Parameters
    ) -> Float[Array, "n d"]:
        """Vectors of length 1."""
        del params
        return unit_vectors(embedded)

    def block(
        self,
        descriptions: Float[Array, "descriptions d"],
        museums: Float[Array, "museums d"],
        params: Parameters,
    ) -> Float[Array, "descriptions museums"]:
        """One product."""
        del params
        return jnp.matmul(descriptions, museums.T, precision=jax.lax.Precision.HIGHEST)


COSINE = CosineScores()
"""HM3's scores."""


def unit_vectors(vectors: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
    """Divides each vector by ``sqrt(sum of squares + 1e-18)``.

    Args:
        vectors: float vectors along the last axis.

    Returns:
        Vectors of length 1, of the same shape and dtype; a zero vector stays zero.
    """
    squares = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
    return vectors / jnp.sqrt(squares + NORM_EPSILON)


def _shapes(tree: Any) -> str:
    return ", ".join(str(x.shape) for x in jax.tree.leaves(tree))
