"""Scores of descriptions and museums: how well they match.

Formulas take NumPy's arrays and JAX's alike, traced ones too, so that training, reports
and search compute one thing. Importing this starts no JAX.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

# Under the root of a norm, so that a zero vector has similarity 0 with everything
# and a finite gradient, as in the published release.
NORM_EPSILON = 1e-18

Parameters = Mapping[str, Any]


class Scores(abc.ABC):
    """One definition of a score, for training, validation, metrics and index.

    Frozen and hashable, for `static_argnames`. What a model makes of descriptions or
    museums may be any tree of arrays, whose leading axis is theirs unless `count`,
    `masked` and `gathered` say otherwise. Parameters (a sharpness, a bias) are trained
    with the model's and saved in its checkpoints.
    """

    costly = False
    """Whether devices that share a batch share its comparisons too."""

    def parameters(self) -> dict[str, Any]:
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
    ) -> Float[Any, "descriptions museums"]:
        """Scores of all pairs of prepared descriptions and museums; larger is better.

        Args:
            descriptions: as `prepare` gives them.
            museums: as `prepare` gives them, any number.
            params: as for `prepare`.
        """

    def count(self, embedded: Any) -> int:
        """Number of descriptions or museums, places without one included.

        Raises:
            ValueError: arrays disagree.
        """
        import jax

        counts = {len(x) for x in jax.tree.leaves(embedded)}
        if len(counts) != 1:
            raise ValueError(
                f"expected arrays of one length, found {_shapes(embedded)}"
            )
        return counts.pop()

    def masked(self, embedded: Any, valid: Bool[Any, " batch"]) -> Any:
        """Zeros where there is no description or museum, whatever stands there.

        Args:
            embedded: a batch, NaN in its padding included.
            valid: places that hold one.
        """
        import jax
        import jax.numpy as jnp

        def kept(x: Any) -> Any:
            return jnp.where(valid.reshape(-1, *(1,) * (x.ndim - 1)), x, 0)

        return jax.tree.map(kept, embedded)

    def gathered(self, embedded: Any, axis: str) -> Any:
        """Those of all devices along an axis of the mesh, inside `shard_map`."""
        from jax import lax

        return lax.all_gather(embedded, axis, tiled=True)

    def __call__(
        self,
        descriptions: Any,
        museums: Any,
        valid: Bool[Any, " descriptions"] | None = None,
        params: Parameters | None = None,
        valid_museums: Bool[Any, " museums"] | None = None,
    ) -> Float[Any, "descriptions museums"]:
        """Scores of every description of a batch with every museum of it.

        Args:
            descriptions: embedded descriptions.
            museums: embedded museums; row ``i`` belongs to description ``i``, unless
                ``valid_museums`` is given.
            valid: places that hold a pair. The others are replaced by zeros first, so
                that whatever stands in the padding, NaN included, reaches neither the
                values nor the gradient of the rest. Without it, every place counts.
            params: as `parameters` gives them, after some training; those without it.
            valid_museums: places that hold a museum, where the museums are more than
                the descriptions (a device's share of them).

        Raises:
            ValueError: the two are not of one number.
        """
        if valid_museums is None:
            valid_museums = valid
            if self.count(descriptions) != self.count(museums):
                raise ValueError(
                    "expected descriptions and museums of one batch, found "
                    f"{_shapes(descriptions)} and {_shapes(museums)}"
                )
        own = self.parameters() if params is None else params
        if valid is not None and valid_museums is not None:
            descriptions = self.masked(descriptions, valid)
            museums = self.masked(museums, valid_museums)
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
        self, embedded: Float[Any, "n d"], params: Parameters
    ) -> Float[Any, "n d"]:
        """Vectors of length 1."""
        del params
        return unit_vectors(embedded)

    def block(
        self,
        descriptions: Float[Any, "descriptions d"],
        museums: Float[Any, "museums d"],
        params: Parameters,
    ) -> Float[Any, "descriptions museums"]:
        """One product."""
        del params
        xp = descriptions.__array_namespace__()
        if xp is np:
            return descriptions @ museums.T
        return xp.matmul(descriptions, museums.T, precision="highest")


COSINE = CosineScores()
"""HM3's scores."""


def unit_vectors(vectors: Float[Any, "*batch d"]) -> Float[Any, "*batch d"]:
    """Divides each vector by ``sqrt(sum of squares + 1e-18)``.

    Args:
        vectors: float vectors along the last axis.

    Returns:
        Vectors of length 1, of the same shape and dtype; a zero vector stays zero.
    """
    xp = vectors.__array_namespace__()
    squares = xp.sum(xp.square(vectors), axis=-1, keepdims=True)
    return vectors / xp.sqrt(squares + NORM_EPSILON)


def _shapes(arrays: Any) -> str:
    import jax

    return ", ".join(str(x.shape) for x in jax.tree.leaves(arrays))
