"""Cosine similarity of descriptions and museums."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Under the root of a norm, so that a zero vector has similarity 0 with everything
# and a finite gradient, as in the published release.
NORM_EPSILON = 1e-18


def unit_vectors(vectors: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
    """Divides each vector by ``sqrt(sum of squares + 1e-18)``.

    Args:
      vectors: float vectors along the last axis.

    Returns:
      Vectors of length 1, of the same shape and dtype; a zero vector stays zero.
    """
    squares = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
    return vectors / jnp.sqrt(squares + NORM_EPSILON)


def cosine_similarity(
    descriptions: Float[Array, "batch d"],
    museums: Float[Array, "batch d"],
    valid: Bool[Array, " batch"] | None = None,
) -> Float[Array, "batch batch"]:
    """Cosine of every description with every museum.

    Args:
      descriptions: embedded descriptions, float.
      museums: embedded museums, same dtype; row ``i`` belongs to description ``i``.
      valid: rows that hold a pair. The others are replaced by zeros first, so that
        whatever stands in the padding, NaN included, reaches neither the values nor
        the gradient of the rest. Without it, every row counts.

    Returns:
      ``s[i, j]``, cosine of description ``i`` and museum ``j``, between -1 and 1 up
      to rounding. The product runs at full float32 precision on every device.

    Raises:
      ValueError: the two arrays are not matrices of one shape.

    References:
      HM3 (ICMR 2025), and its published release.

    >>> import jax.numpy as jnp
    >>> cosine_similarity(jnp.eye(2), jnp.array([[3.0, 0.0], [1.0, 1.0]])).round(3)
    Array([[1.   , 0.707],
           [0.   , 0.707]], dtype=float32)
    """
    if descriptions.ndim != 2 or descriptions.shape != museums.shape:
        raise ValueError(
            "expected descriptions and museums of one shape (batch, d), found "
            f"{descriptions.shape} and {museums.shape}"
        )
    if valid is not None:
        descriptions = jnp.where(valid[:, None], descriptions, 0)
        museums = jnp.where(valid[:, None], museums, 0)
    return jnp.matmul(
        unit_vectors(descriptions),
        unit_vectors(museums).T,
        precision=jax.lax.Precision.HIGHEST,
    )
