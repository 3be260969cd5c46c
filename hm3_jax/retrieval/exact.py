"""Exact search: every museum is compared with every query.

Fast products in float32 find candidates, a block of museums at a time; what counts is
their cosine in float64. A float32 product is known to be within a bound of it, so no
museum that belongs to the best can be missed, and the result depends neither on the
size of blocks and batches nor on the number of threads.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int

from hm3_jax.objective.late_interaction import QueryVectors
from hm3_jax.objective.similarity import unit_vectors
from hm3_jax.retrieval.museums import Museums

# Queries that are multiplied at a time, and numbers in a block of products: those fit
# a processor's cache.
_QUERIES = 64
_PRODUCTS = 2**20
_MOST_ROWS = 2**16
# The first block has nothing to compare with; the next ones are so much larger.
_FIRST_ROWS, _GROWTH = 1024, 4
# Pairs of a query and a museum that are compared in float64 at a time.
_PAIRS = 8192
# Below every cosine, and above what is left out.
_LOWEST = -2.0


class Hits(NamedTuple):
    """The best museums for one query, best first.

    Attributes:
        scores: Cosine with the query, or what late interaction has in its place;
            float64.
        rows: Of the museums, int64; among equal scores the smaller comes first.
        exact: Whether no other museum can belong to them.
    """

    scores: Float[np.ndarray, " hits"]
    rows: Int[np.ndarray, " hits"]
    exact: bool = True


class Search(Protocol):
    """What finds the museums that answer queries best, in an index of any family."""

    def search(
        self,
        queries: Sequence[QueryVectors],
        top_k: int,
        themes: Sequence[Collection[int] | None] | None = None,
        theme_weights: Sequence[float | None] | None = None,
    ) -> list[Hits]:
        """Finds the best museums for each query.

        Args:
            queries: Of museums of one vector, only `vector` is read, of any length; one
                of zeros has cosine 0 with everything.
            top_k: How many; fewer are found where there are fewer.
            themes: For each query the numbers of the themes that count, None for all.
            theme_weights: For each query how much it counts that a museum is like what
                its themes say, None for what the model says; only museums that know
                their themes' probabilities are ranked by it.

        Raises:
            ValueError: If `top_k` is below 1, or a query has other sizes than the
                index's vectors or is not finite.
        """
        ...


class ExactSearch:
    """Exact cosine ranking on the processor, over vectors in memory or on the disk."""

    def __init__(self, museums: Museums):
        """Takes museums, whose vectors have length 1."""
        self._vectors = museums.vectors
        self._theme_index = museums.theme_index
        self._themes = len(museums.themes)

    def search(
        self,
        queries: Sequence[QueryVectors],
        top_k: int,
        themes: Sequence[Collection[int] | None] | None = None,
        theme_weights: Sequence[float | None] | None = None,
    ) -> list[Hits]:
        """See `Search`."""
        del theme_weights
        vectors = unit_queries(queries, self._vectors.shape[1], top_k)
        top_k = min(top_k, len(self._vectors))
        hits: list[Hits] = []
        for first in range(0, len(vectors), _QUERIES):
            part = slice(first, first + _QUERIES)
            allowed = None
            if themes is not None and any(t is not None for t in themes[part]):
                allowed = allowed_themes(themes[part], self._themes)
            hits += self._search(vectors[part], top_k, allowed)
        return hits

    def _search(
        self,
        queries: Float[np.ndarray, "queries d"],
        top_k: int,
        allowed: Bool[np.ndarray, "themes queries"] | None,
    ) -> list[Hits]:
        count = len(queries)
        most = min(max(_PRODUCTS // count, 1), _MOST_ROWS)
        first, size = 0, max(_FIRST_ROWS, top_k)
        # Made once: what is new in every block takes as long as the comparison.
        products = np.empty((max(most, size), count), np.float32)
        near = np.empty(products.shape, bool)
        wide = queries.astype(np.float64)
        error = np.float32(product_error(queries.shape[1]))
        best = _Best(count, top_k)
        while first < len(self._vectors):
            rows = self._vectors[first : first + size]
            block = np.matmul(rows, queries.T, out=products[: len(rows)])
            if allowed is not None:
                here = allowed[self._theme_index[first : first + size]]
                np.copyto(block, -np.inf, where=~here)
            if first == 0:
                best.begin(block, error)
            found = np.flatnonzero(
                np.greater_equal(block, best.needed - error, out=near[: len(rows)])
            )
            for start in range(0, len(found), _PAIRS):
                row, query = np.divmod(found[start : start + _PAIRS], count)
                best.add(query, cosines(rows[row], wide[query]), first + row)
            first += size
            size = min(_GROWTH * size, max(most, size))
        return best.hits()


class _Best:
    """The best museums so far for each of some queries."""

    def __init__(self, queries: int, top_k: int):
        self._top_k, self._queries = top_k, queries
        self._query = np.empty(0, np.int64)
        self._score = np.empty(0, np.float64)
        self._row = np.empty(0, np.int64)
        # Added, and not sorted yet.
        self._added: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._waiting, self._most_waiting = 0, max(256, queries * top_k // 2)
        # Score that a museum needs to be among the best of each query, or less.
        self.needed = np.full(queries, _LOWEST, np.float32)

    def begin(
        self, products: Float[np.ndarray, "museums queries"], error: np.float32
    ) -> None:
        """Learns from the products of the first museums what is needed at least."""
        last = len(products) - self._top_k
        if last >= 0:
            needed = np.partition(products, last, axis=0)[last] - error
            # Without a museum that counts it is -inf; NaN is for damaged vectors.
            self.needed = np.fmax(_below(needed), self.needed)

    def add(self, query: np.ndarray, score: np.ndarray, row: np.ndarray) -> None:
        self._added.append((query, score, row))
        self._waiting += len(query)
        if self._waiting > self._most_waiting:
            self._sort()

    def _sort(self) -> None:
        kept = (self._query, self._score, self._row)
        query, score, row = map(np.concatenate, zip(kept, *self._added, strict=True))
        self._added, self._waiting = [], 0
        order = np.lexsort((row, -score, query))
        query, score, row = query[order], score[order], row[order]
        starts = np.searchsorted(query, np.arange(self._queries + 1))
        place = np.arange(len(query)) - starts[query]
        last = query[place == self._top_k - 1]
        self.needed[last] = np.maximum(
            _below(score[place == self._top_k - 1]), self.needed[last]
        )
        kept = place < self._top_k
        self._query, self._score, self._row = query[kept], score[kept], row[kept]

    def hits(self) -> list[Hits]:
        self._sort()
        ends = np.searchsorted(self._query, np.arange(1, self._queries))
        return [
            Hits(scores, rows)
            for scores, rows in zip(
                np.split(self._score, ends), np.split(self._row, ends), strict=True
            )
        ]


def _below(scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Rounded down, or a museum of just this score might seem below it."""
    return np.nextafter(scores.astype(np.float32), np.float32(-np.inf))


def unit_queries(
    queries: Sequence[QueryVectors], size: int, top_k: int
) -> Float[np.ndarray, "queries d"]:
    """Checks what `Search.search` is given for museums of one vector.

    Args:
        queries: Embedded.
        size: Floats of a museum's vector.
        top_k: How many museums are wanted.

    Returns:
        The queries' vectors with length 1, float32.

    Raises:
        ValueError: As `Search.search`.
    """
    check_top_k(top_k)
    vectors = np.empty((len(queries), size), np.float32)
    for i, query in enumerate(queries):
        if len(query.vector) != size:
            raise ValueError(
                f"expected queries of {size} numbers, found {len(query.vector)}"
            )
        vectors[i] = query.vector
    if not np.isfinite(vectors).all():
        raise ValueError("expected finite queries, found one with NaN or infinity")
    return unit(vectors)


def check_top_k(top_k: int) -> None:
    """Refuses a number of hits below 1.

    Raises:
        ValueError: If it is.
    """
    if top_k < 1:
        raise ValueError(f"top_k: expected at least 1, found {top_k}")


def unit(rows: Float[np.ndarray, "rows d"]) -> Float[np.ndarray, "rows d"]:
    """Rows divided by their length, in float64, as float32; zeros stay zeros."""
    return unit_vectors(np.asarray(rows, np.float64)).astype(np.float32)


def allowed_themes(
    themes: Sequence[Collection[int] | None], count: int
) -> Bool[np.ndarray, "themes queries"]:
    """Which themes count for which query."""
    allowed = np.ones((count, len(themes)), bool)
    for query, numbers in enumerate(themes):
        if numbers is not None:
            allowed[:, query] = False
            allowed[list(numbers), query] = True
    return allowed


def product_error(size: int) -> float:
    """How far a float32 product of unit vectors may be from the exact one.

    The bound of n roundings, n times the unit roundoff, with room for vectors that are
    a little longer than 1.
    """
    return 1.01 * (size + 2) * 2.0**-24


def cosines(
    vectors: Float[np.ndarray, "pairs d"], queries: Float[np.ndarray, "*queries d"]
) -> Float[np.ndarray, " pairs"]:
    """Products of unit vectors, pair by pair or all with one, in float64.

    Equal pairs have equal bits, whatever else is in the call.
    """
    return (vectors.astype(np.float64) * queries).sum(axis=1)
