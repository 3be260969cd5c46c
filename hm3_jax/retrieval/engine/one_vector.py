"""Search among museums of one vector each that Qdrant holds.

What Qdrant finds is compared again in float64: results are those of `ExactSearch`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Float

from hm3_jax.objective.late_interaction import QueryVectors
from hm3_jax.retrieval.engine.museums import Near, PublishedMuseums
from hm3_jax.retrieval.engine.points import VECTORS
from hm3_jax.retrieval.exact import Hits, cosines, product_error, unit_queries

# What is asked for beyond the hits wanted: which of near equal ones come first is known
# only after the comparison in float64.
_SPARE = 16


class EngineSearch:
    """Exact cosine ranking by Qdrant."""

    def __init__(self, museums: PublishedMuseums):
        """Takes museums of one vector each."""
        self._museums = museums

    def search(
        self,
        queries: Sequence[QueryVectors],
        top_k: int,
        themes: Sequence[Collection[int] | None] | None = None,
        theme_weights: Sequence[float | None] | None = None,
    ) -> list[Hits]:
        """See `hm3_jax.retrieval.exact.Search`.

        Raises:
            ConnectionError: If Qdrant cannot be reached or refuses.
        """
        del theme_weights
        vectors = unit_queries(queries, self._museums.manifest.size, top_k)
        top_k = min(top_k, len(self._museums))
        themes = [None] * len(vectors) if themes is None else themes
        hits: dict[int, Hits] = {}
        limit = top_k + _SPARE
        # Most queries are settled in the first round; those that have many museums
        # almost as near as the last hit need another.
        while open_ones := [i for i in range(len(vectors)) if i not in hits]:
            found = self._museums.near(
                VECTORS,
                [vectors[i] for i in open_ones],
                [themes[i] for i in open_ones],
                limit,
                ["vectors"],
            )
            for i, near in zip(open_ones, found, strict=True):
                settled = _settle(vectors[i], near, top_k, limit)
                if settled is not None:
                    hits[i] = settled
            limit *= 4
        return [hits[i] for i in range(len(vectors))]


def _settle(
    query: Float[np.ndarray, " d"], near: Near, top_k: int, limit: int
) -> Hits | None:
    """The hits; None where what Qdrant left out may belong to them."""
    vectors = near.museums.columns["vectors"]
    scores = cosines(vectors, query.astype(np.float64))
    order = np.lexsort((near.rows, -scores))[:top_k]
    if len(near.rows) == limit:
        below = scores[order[-1]] - 2 * product_error(len(query))
        if near.scores[-1] >= below:
            return None
    return Hits(scores[order], near.rows[order])
