"""A map of a collection: two numbers for each museum, similar ones near each other."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

# Museums that are read at a time.
_CHUNK = 65536


def project(
    vectors: Float[np.ndarray, "museums d"], themes: Int[np.ndarray, " museums"]
) -> Float[np.ndarray, "museums 2"]:
    """Projects vectors on the two axes along which the themes lie furthest apart.

    The axes are the first two principal components of the themes' mean vectors, each
    weighted by its museums; of all vectors where there are fewer than three themes.

    Args:
        vectors: Unit vectors; read some at a time.
        themes: Theme of each museum, from 0.

    Returns:
        float32, centred, within -1 and 1; the same for the same vectors.
    """
    counts = np.bincount(themes).astype(np.float64)
    sums = np.zeros((len(counts), vectors.shape[1]))
    products = np.zeros((vectors.shape[1], vectors.shape[1]))
    for first in range(0, len(vectors), _CHUNK):
        rows = vectors[first : first + _CHUNK]
        np.add.at(sums, themes[first : first + _CHUNK], rows)
        products += rows.T @ rows
    mean = sums.sum(axis=0) / len(vectors)
    present = counts > 0
    if present.sum() > 2:
        apart = sums[present] / counts[present, None] - mean
        spread = (apart * counts[present, None]).T @ apart
    else:
        spread = products - len(vectors) * np.outer(mean, mean)
    axes = np.linalg.eigh(spread)[1][:, :-3:-1]
    # The sign of an eigenvector is arbitrary.
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    axes = (axes * np.where(largest < 0, -1, 1)).astype(np.float32)
    places = np.zeros((len(vectors), 2), np.float32)
    for first in range(0, len(vectors), _CHUNK):
        rows = vectors[first : first + _CHUNK] - mean.astype(np.float32)
        places[first : first + _CHUNK, : axes.shape[1]] = rows @ axes
    return places / max(np.abs(places).max(), np.finfo(np.float32).tiny)
