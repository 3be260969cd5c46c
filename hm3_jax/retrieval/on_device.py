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
from hm3_jax.retrieval.item_museums import ItemMuseums
from hm3_jax.retrieval.item_search import SENTENCES, FirstLook, ItemSearch
from hm3_jax.retrieval.museums import (
    KnownMuseums,
    Museums,
    of_one_vector,
    whole_query,
)
from hm3_jax.retrieval.terms import TermSearch

# Candidates beside the hits wanted, which are rounded up to a multiple of this: few
# programs are compiled, and near equal museums are among the candidates.
_SPARE = 64
# Queries of a call: one, or up to so many.
_QUERIES = 64
# Museums, or items, in a block of products.
_ROWS = _ITEMS = 2**17
# Of a device's free memory, what the vectors may take.
_SHARE = 0.8


def search_of(museums: KnownMuseums) -> Search:
    """The fastest exact search there is here: on the accelerator, if one has room."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return exact_search(museums)
    stats = device.memory_stats() or {}
    free = stats.get("bytes_limit", 0) - stats.get("bytes_in_use", 0)
    many = isinstance(museums, ItemMuseums)
    taken = museums.columns["items" if many else "vectors"].nbytes
    if taken > _SHARE * free:
        return exact_search(museums)
    if many:
        return TermSearch(DeviceItemSearch(museums), museums)
    return DeviceSearch(of_one_vector(museums, "museums"))


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


class DeviceItemSearch(ItemSearch):
    """Exact ranking by late interaction, over 16-bit items on the default device.

    As on the processor, museums whose scores may belong to the best are compared again
    in float64; items that are looked at in all their bits leave fewer of them.
    """

    def __init__(self, museums: ItemMuseums):
        """Copies the items to the device; raises as `ItemSearch`."""
        super().__init__(museums)
        items, offsets = museums.embedded.items, np.asarray(museums.embedded.offsets)
        self._errors = np.zeros(len(museums), np.float32)
        self._rows = min(_ITEMS, len(items))
        # Whole blocks; items past the last one are of no museum.
        missing = -len(items) % self._rows
        self._items = jnp.pad(jax.device_put(items), ((0, missing), (0, 0)))
        owners = np.repeat(np.arange(len(museums), dtype=np.int32), np.diff(offsets))
        self._owners = jax.device_put(
            np.pad(owners, (0, missing), constant_values=len(museums))
        )

    def _look(
        self, look: FirstLook, scores: Float[np.ndarray, "queries museums"]
    ) -> None:
        queries = 1 if len(scores) == 1 else _QUERIES
        for sentences, weights in look.groups:
            # Few programs are compiled: the rest is zeros.
            asked = np.zeros((SENTENCES, sentences.shape[1]), np.float32)
            asked[: len(sentences)] = sentences
            counts = np.zeros((queries, SENTENCES), np.float32)
            counts[: len(weights), : len(sentences)] = weights
            found = _soft_maxima(
                *jax.device_put((asked, counts, np.float32(self._museums.sharpness))),
                self._items,
                self._owners,
                museums=len(self._museums),
                block=self._rows,
            )
            scores += np.asarray(found)[: len(scores)]


@functools.partial(jax.jit, static_argnames=("museums", "block"))
def _soft_maxima(
    sentences: Float[Array, "sentences d"],
    counts: Float[Array, "queries sentences"],
    sharpness: Float[Array, ""],
    items: Float[Array, "items d"],
    owners: Int[Array, " items"],
    *,
    museums: int,
    block: int,
) -> Float[Array, "queries museums"]:
    """Soft maxima of all museums, times the sharpness, summed for each query."""

    def add_block(number, sums):
        rows = lax.dynamic_slice_in_dim(items, number * block, block)
        owner = lax.dynamic_slice_in_dim(owners, number * block, block)
        products = jnp.matmul(
            rows.astype(jnp.float32), sentences.T, precision="highest"
        )
        each = jnp.exp(sharpness * products)
        return sums + jax.ops.segment_sum(
            each, owner, num_segments=museums + 1, indices_are_sorted=True
        )

    start = jnp.zeros((museums + 1, len(sentences)), jnp.float32)
    sums = lax.fori_loop(0, items.shape[0] // block, add_block, start)[:museums]
    return jnp.matmul(counts, jnp.log(sums).T, precision="highest")


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
