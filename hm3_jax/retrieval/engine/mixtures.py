"""What Qdrant's hard maximum is taken over, so that it comes near the soft one.

The soft maximum of cosines c is itself a maximum, over all ways to mix the items, with
the entropy H of the mixture (Gibbs' variational principle):

    log(sum_i exp(a c_i)) / a  =  max_p  p . c + H(p) / a,    p_i >= 0, sum_i p_i = 1

So the best of some mixtures is never above the soft maximum, and near it where they are
those that sentences ask for. Two are kept for each item: the item alone, and the item
among those like it, as a sentence would weigh them that is a fifth as near to the item
as the item itself. A mixture's entropy is one more number of its vector.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from hm3_jax.objective.late_interaction import soft_maximum

MIXTURES = 2
"""Of each item."""

# What Qdrant takes as the vectors of one point.
_MOST_NUMBERS = 2**20 - 1
# How near a sentence is to the item that it describes; text and pictures never agree
# as pictures do. Measured: docs/search.md.
_NEAR = 0.2


def mixtures(
    items: Float[np.ndarray, "items d"], bias: float, sharpness: float
) -> Float[np.ndarray, "mixtures d_plus_1"]:
    """A museum's mixtures, each with its entropy and the museum's bias.

    Args:
        items: Of one museum, of length 1.
        bias: Of the museum.
        sharpness: Of the soft maximum.

    Returns:
        float32; the items themselves come first, and are all there is of a museum of
        so many items that Qdrant would not take more.

    Raises:
        ValueError: If it would not take these.
    """
    wide = items.astype(np.float64)
    most = _MOST_NUMBERS // (items.shape[1] + 1)
    if len(items) > most:
        raise ValueError(
            f"expected at most {most} items in a museum, which is what Qdrant takes, "
            f"found {len(items)}"
        )
    alone = np.column_stack([wide, np.full(len(wide), bias)])
    if MIXTURES * len(items) > most:
        return alone.astype(np.float32)
    logits = _NEAR * sharpness * (wide @ wide.T)
    logits -= soft_maximum(logits, 1.0)[:, None]
    shares = np.exp(logits)
    entropies = -(shares * logits).sum(axis=1)
    among = np.column_stack([shares @ wide, entropies / sharpness + bias])
    return np.concatenate([alone, among]).astype(np.float32)


def query_rows(
    sentences: Float[np.ndarray, "sentences d"],
    weights: Float[np.ndarray, " sentences"],
) -> Float[np.ndarray, "sentences d_plus_1"]:
    """A query's sentences, as mixtures are compared with them."""
    rows = np.column_stack([sentences, np.ones(len(sentences), np.float32)])
    return (weights[:, None] * rows).astype(np.float32)
