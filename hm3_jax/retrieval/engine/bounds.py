"""How far the score of a museum may be above what Qdrant compares."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.retrieval.item_museums import ItemMuseums


def most_above(
    offsets: Int[np.ndarray, " museums_plus_1"], sharpness: float
) -> Float[np.ndarray, " museums"]:
    """How far a museum's soft maximum may be above its maximum."""
    return np.log(np.diff(offsets)) / sharpness


def highest(museums: ItemMuseums) -> dict[str, float]:
    """What is the most of any museum, for those that nothing else is known of.

    Returns:
        `above`, of `most_above`; `bias`, of its size; `length`, of the whole vectors.
    """
    vectors = museums.embedded
    above = most_above(vectors.offsets, museums.sharpness)
    lengths = np.linalg.norm(vectors.vectors.astype(np.float64), axis=1)
    return {
        "above": float(above.max()),
        "bias": float(np.abs(vectors.bias).max()),
        "length": float(lengths.max()),
    }
