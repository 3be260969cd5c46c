"""Exact search on an accelerator: one product on the device finds candidates.

As in `retrieval.exact`, what counts is the cosine in float64, which the processor
computes for the few candidates; queries for which these do not settle the ranking for
sure are searched again on the processor.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from hm3_jax.objective.late_interaction import QueryVectors
from hm3_jax.objective.similarity import COSINE
from hm3_jax.retrieval.exact import (
    ExactSearch,
    Hits,
    Search,
    allowed_themes,
    cosines,
    product_error,
    unit_queries,
)
from hm3_jax.retrieval.families import exact_search
from hm3_jax.retrieval.museums import KnownMuseums, Museums, whole_query

# Candidates beside the hits wanted, which are rounded up to a multiple of this: few
# programs are compiled, and near equal museums are among the candidates.
_SPARE = 64
# Queries of a call: one, or up to so many.
_QUERIES = 64
# Museums in a block of products.
_ROWS = 2**17
# Of a device's free memory, what the vectors may take.
_SHARE = 0.8


def search_of(museums: KnownMuseums) -> Search:
    """The fastest exact search there is here: on the accelerator, if one has room."""
    device = jax.devices()[0]
    if device.platform == "cpu" or not isinstance(museums, Museums):
        return exact_search(museums)
    stats = device.memory_stats() or {}
    free = stats.get("bytes_limit", 0) - stats.get("bytes_in_use", 0)
    if museums.vectors.nbytes > _SHARE * free:
        return ExactSearch(museums)
    return DeviceSearch(museums)


class DeviceSearch:
    """Exact cosine ranking over vectors on the default device."""

    def __init__(self, museums: Museums):
        """Copies the vectors, which have length 1, to the device."""
        self._museums = museums
        self._exact = ExactSearch(museums)
        self._rows = min(_ROWS, len(museums))
        # Whole blocks; museums past the last one are of no theme.
        missing = -len(museums) % self._rows
        self._vectors = jnp.pad(jax.device_put(museums.vectors), ((0, missing), (0, 0)))
        self._themes = jax.device_put(
            np.pad(
                np.asarray(museums.theme_index),
                (0, missing),
                constant_values=len(museums.themes),
            )
        )

    def search(
        self,
        queries: Sequence[QueryVectors],
        top_k: int,
        themes: Sequence[Collection[int] | None] | None = None,
        theme_weights: Sequence[float | None] | None = None,
    ) -> list[Hits]:
        """See `hm3_jax.retrieval.exact.Search`."""
        del theme_weights
        vectors = unit_queries(queries, self._museums.vectors.shape[1], top_k)
        chosen = themes if themes is not None else [None] * len(vectors)
        top_k = min(top_k, len(self._museums))
        candidates = min(_SPARE * (1 + -(-top_k // _SPARE)), self._rows)
        if candidates < top_k:
            return self._exact.search(queries, top_k, themes)
        hits: list[Hits] = []
        for first in range(0, len(vectors), _QUERIES):
            part = slice(first, first + _QUERIES)
            hits += self._search(vectors[part], top_k, chosen[part], candidates)
        return hits

    def _search(
        self,
        queries: Float[np.ndarray, "queries d"],
        top_k: int,
        themes: Sequence[Collection[int] | None],
        candidates: int,
    ) -> list[Hits]:
        places = 1 if len(queries) == 1 else _QUERIES
        padded = np.zeros((places, queries.shape[1]), np.float32)
        padded[: len(queries)] = queries
        allowed = np.zeros((len(self._museums.themes) + 1, places), bool)
        allowed[:-1, : len(queries)] = allowed_themes(themes, len(allowed) - 1)
        products, rows = jax.device_get(
            _candidates(
                *jax.device_put((padded, allowed)),
                self._vectors,
                self._themes,
                candidates=candidates,
                block=self._rows,
            )
        )
        return [
            self._settle(queries[i : i + 1], top_k, themes[i], products[i], rows[i])
            for i in range(len(queries))
        ]

    def _settle(
        self,
        query: Float[np.ndarray, "1 d"],
        top_k: int,
        themes: Collection[int] | None,
        products: Float[np.ndarray, " candidates"],
        rows: Int[np.ndarray, " candidates"],
    ) -> Hits:
        found = np.isfinite(products)
        chosen = rows[found].astype(np.int64)
        scores = cosines(self._museums.vectors[chosen], query.astype(np.float64))
        order = np.lexsort((chosen, -scores))[:top_k]
        # All that was left out lies below the last candidate.
        error = 2 * product_error(query.shape[1])
        if found.all() and products[-1] >= scores[order[-1]] - error:
            (hits,) = self._exact.search([whole_query(query[0])], top_k, [themes])
            return hits
        return Hits(scores[order], chosen[order])


@functools.partial(jax.jit, static_argnames=("candidates", "block"))
def _candidates(
    queries: Float[Array, "queries d"],
    allowed: Bool[Array, "themes queries"],
    vectors: Float[Array, "museums d"],
    themes: Int[Array, " museums"],
    *,
    candidates: int,
    block: int,
) -> tuple[Float[Array, "queries candidates"], Int[Array, "queries candidates"]]:
    """Largest products, descending, and their rows; -inf where there are fewer."""

    def of_block(number):
        rows = lax.dynamic_slice_in_dim(vectors, number * block, block)
        theirs = lax.dynamic_slice_in_dim(themes, number * block, block)
        products = COSINE.block(queries, rows, {})
        products = jnp.where(allowed[theirs].T, products, -jnp.inf)
        best, places = lax.top_k(products, candidates)
        return best, places + number * block

    blocks = jnp.arange(vectors.shape[0] // block, dtype=jnp.int32)
    best, rows = lax.map(of_block, blocks)
    best, rows = (jnp.moveaxis(x, 0, 1).reshape(len(queries), -1) for x in (best, rows))
    products, places = lax.top_k(best, candidates)
    return products, jnp.take_along_axis(rows, places, axis=1)
