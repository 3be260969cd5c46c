"""Retrieval metrics of a set of museums, as published.

Relevant to a query is, in the metrics by theme (``class`` in the published keys), every
item of its theme *including its own*. Among equal similarities the item with the
smaller index ranks first. Percentages except the ranks, which count from 1.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike

from hm3_jax.objective import ranking
from hm3_jax.objective.metric_table import (
    DIRECTIONS,
    PUBLISHED_ORDER,
    found_at,
    metrics_of_set,
)
from hm3_jax.objective.ranking import TILE, QueryScores
from hm3_jax.objective.similarity import Parameters, Scores

# Similarities in a block and direction: some 90 MB of temporaries.
_BLOCK_ELEMENTS = 2**20

_query_scores = jax.jit(ranking.query_scores, static_argnames="block_size")


def retrieval_metrics(
    descriptions: Float[ArrayLike, "n d"],
    museums: Float[ArrayLike, "n d"],
    themes: Int[ArrayLike, " n"],
    *,
    block_size: int | None = None,
) -> dict[str, float]:
    """All metrics of a set of museums, in both directions.

    ``t2s`` ranks museums for each description, ``s2t`` descriptions for each museum.
    Means over the queries, whose formulas are those of `metric_table.METRICS`:

    * ``R@k``: the own item is in the first k. ``median_rank`` (of an even number of
      queries, the mean of the middle two) and ``mean_rank``: its rank.
      ``avg_ndcg``: 1/log2(1 + rank). ``mAP``: 1/rank.
    * ``class_R@k``: relevant items in the first k, over all relevant.
      ``class_P@k``: relevant items in the first k, over k (also where there are
      fewer than k items). ``avg_ndcg_by_class``: gain 1 for each relevant item over
      the whole ranking, over the ideal ranking's. ``mAP_by_class``: average precision
      over all relevant items.

    Args:
        descriptions: embeddings, any float type, on host or device; lengths are free.
        museums: embeddings; row ``i`` belongs to description ``i``.
        themes: integer theme of each museum.
        block_size: queries ranked at a time, rounded up to a multiple of `TILE`; by
            default as many as fit 2**20 similarities. It changes time and memory, not
            one bit of the result. Memory is linear in n.

    Returns:
        The published keys, in the published order.

    Raises:
        ValueError: shapes do not match, no museum, a row that is not finite (named), or
            themes that are not integers.
    """
    return summarise(*score_queries(descriptions, museums, themes, block_size))


def score_queries(
    descriptions: Float[ArrayLike, "n d"],
    museums: Float[ArrayLike, "n d"],
    themes: Int[ArrayLike, " n"],
    block_size: int | None = None,
) -> tuple[QueryScores, QueryScores]:
    """Scores of every single query (t2s, s2t), as numpy arrays of length n.

    Arguments and errors are those of `retrieval_metrics`. The scores of several sets
    merge by concatenation.

    >>> t2s, s2t = score_queries([[1, 0], [1, 0.1]], [[1, 0], [0, 1]], [0, 1])
    >>> t2s.rank.tolist(), s2t.rank.tolist()
    ([1, 2], [1, 1])
    """
    described, shown, block = _prepare(descriptions, museums, block_size)
    count = described.shape[0]
    labels = np.asarray(jax.device_get(themes))
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"themes: expected integers of shape ({count},), "
            f"found {labels.dtype} of shape {labels.shape}"
        )
    # Any integers are fine: only equality matters.
    labels = np.unique(labels, return_inverse=True)[1].astype(np.int32)
    scores = _query_scores(
        *jax.device_put((_padded(described), _padded(shown), _padded(labels))),
        jax.device_put(np.int32(count)),
        block_size=block,
    )
    return jax.tree.map(lambda x: x[:count], jax.device_get(scores))


def split_scores(
    descriptions: Any,
    museums: Any,
    themes: Int[Array, " n"],
    params: Parameters,
    *,
    scores: Scores,
    side_by_side: int = 1,
) -> tuple[QueryScores, QueryScores]:
    """`score_queries` inside a compiled program, without its checks.

    Args:
        descriptions: embeddings that ``scores`` reads.
        museums: the same; row ``i`` belongs to description ``i``.
        themes: int32 theme of each museum.
        params: of the scores.
        scores: what pairs are ranked by.
        side_by_side: sets that `vmap` computes at once, which share the memory.

    Returns:
        Scores (t2s, s2t) of length n.
    """
    count = themes.shape[0]
    missing = -count % TILE

    def padded(rows: Array) -> Array:
        return jnp.pad(rows, [(0, missing)] + [(0, 0)] * (rows.ndim - 1))

    found = ranking.query_scores(
        jax.tree.map(padded, descriptions),
        jax.tree.map(padded, museums),
        padded(themes),
        count,
        params,
        block_size=_block_size(count, side_by_side),
        scores=scores,
    )
    return jax.tree.map(lambda x: x[:count], found)


def summarise(t2s: QueryScores, s2t: QueryScores) -> dict[str, float]:
    """Metrics of a set of queries, under the published keys in the published order."""
    summary = {
        f"{direction}_{name}": value
        for direction, scores in zip(DIRECTIONS, (t2s, s2t), strict=True)
        for name, value in metrics_of_set(
            {"own": found_at(scores.rank), "theme": scores.theme}
        ).items()
    }
    return {key: summary[key] for key in PUBLISHED_ORDER}


def _prepare(
    descriptions: ArrayLike, museums: ArrayLike, block_size: int | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """Checked float32 embeddings on the host, and the block size to use."""
    with np.errstate(over="ignore"):  # to infinity, refused below
        described, shown = (
            np.asarray(jax.device_get(x)).astype(np.float32, copy=False)
            for x in (descriptions, museums)
        )
    if described.ndim != 2 or 0 in described.shape or described.shape != shown.shape:
        raise ValueError(
            "expected descriptions and museums of one shape (n, d), n and d at least "
            f"1, found {described.shape} and {shown.shape}"
        )
    for name, rows in (("descriptions", described), ("museums", shown)):
        # One number per row finds NaN, infinity, and lengths beyond float32.
        bad = ~np.isfinite(np.einsum("nd,nd->n", rows, rows))
        if bad.any():
            raise ValueError(
                f"{name}: expected finite embeddings, found row {bad.argmax()} with "
                "NaN, infinity or a length beyond float32"
            )
    if block_size is None:
        return described, shown, _block_size(described.shape[0])
    if block_size < 1:
        raise ValueError(f"block_size: expected at least 1, found {block_size}")
    return described, shown, TILE * -(-block_size // TILE)


def _block_size(count: int, side_by_side: int = 1) -> int:
    """Queries ranked at a time, a multiple of `TILE`."""
    tiles = -(-count // TILE) * side_by_side
    return TILE * max(1, _BLOCK_ELEMENTS // (TILE * TILE * tiles))


def _padded(rows: np.ndarray) -> np.ndarray:
    """Zeros up to a multiple of `TILE`: one compilation for all sizes within it."""
    missing = -rows.shape[0] % TILE
    return np.pad(rows, [(0, missing)] + [(0, 0)] * (rows.ndim - 1))
