"""Exact search over museums of many vectors each.

Every item is compared with every sentence in 8 bits, and a museum's score is then known
within a bound: a soft maximum changes by no more than the cosine that changes most, and
how far an item is from its 8 bits was measured when the index was made. Museums whose
bound reaches the best are compared again in float64, the likeliest first, until none of
those left can belong to the best. So the result is that of comparing all in float64,
and depends neither on the size of blocks and batches nor on the number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.objective.late_interaction import (
    QueryVectors,
    extra,
)
from hm3_jax.retrieval.exact import Hits, allowed_themes, check_top_k
from hm3_jax.retrieval.item_museums import (
    ItemMuseums,
    check_query_vectors,
    museum_blocks,
    rows_of,
)
from hm3_jax.retrieval.products import MULTIPLIED, ROWS

# Items of a block: their float32 numbers fit a core's cache.
_ITEMS = 2048
# Museums whose scores beside items are computed at a time.
_EXTRAS = 2**14
# Sentences of one product; larger ones get in the way of our threads.
SENTENCES = ROWS
# Approximate scores that are held at a time.
_SCORES = 2**24
_QUERIES = 64
# Museums that are compared in float64 before looking at what is left.
_SETTLED = 16
# exp(sharpness * cosine) and its sums have to be float32.
_SHARPEST = 80.0
_ROUNDOFF = 2.0**-24


class ItemSearch:
    """Exact ranking by late interaction on the processor."""

    def __init__(self, museums: ItemMuseums):
        """Takes museums, whose arrays stay where they are.

        Raises:
            ValueError: If the sharpness is not above 0, or is too large for float32.
        """
        if not 0 < museums.sharpness <= _SHARPEST:
            raise ValueError(
                f"expected a sharpness above 0, {_SHARPEST:g} at most, found "
                f"{museums.sharpness:g}"
            )
        self._museums = museums
        self._offsets = np.asarray(museums.embedded.offsets)
        self._longest = int(np.diff(self._offsets).max())
        self._blocks = museum_blocks(self._offsets, _ITEMS)
        # How far items are from what is looked at first.
        self._errors = museums.errors

    def search(
        self,
        queries: Sequence[QueryVectors],
        top_k: int,
        themes: Sequence[Collection[int] | None] | None = None,
        theme_weights: Sequence[float | None] | None = None,
    ) -> list[Hits]:
        """See `hm3_jax.retrieval.exact.Search`."""
        check_top_k(top_k)
        for query in queries:
            check_query_vectors(query, self._museums.embedded)
        count = min(max(_SCORES // len(self._museums), 1), _QUERIES)
        themes = [None] * len(queries) if themes is None else themes
        weights = [
            self._museums.theme_weight if weight is None else weight
            for weight in theme_weights or [None] * len(queries)
        ]
        hits: list[Hits] = []
        for first in range(0, len(queries), count):
            part = slice(first, first + count)
            hits += self._search(queries[part], top_k, themes[part], weights[part])
        return hits

    def _search(
        self,
        queries: Sequence[QueryVectors],
        top_k: int,
        themes: Sequence[Collection[int] | None],
        weights: Sequence[float],
    ) -> list[Hits]:
        scores = np.empty((len(queries), len(self._museums)), np.float32)
        self._add_extras(queries, weights, scores)
        self._look(FirstLook(self._museums, queries), scores)
        allowed = allowed_themes(themes, len(self._museums.themes))
        for i, of_query in enumerate(themes):
            if of_query is not None:
                scores[i, ~allowed[self._museums.theme_index, i]] = -np.inf
        return [
            self._settle(query, weight, top_k, scores[i])
            for i, (query, weight) in enumerate(zip(queries, weights, strict=True))
        ]

    def _add_extras(
        self,
        queries: Sequence[QueryVectors],
        weights: Sequence[float],
        scores: Float[np.ndarray, "queries museums"],
    ) -> None:
        """Writes what scores have besides items."""
        vectors = self._museums.embedded
        for first in range(0, len(vectors), _EXTRAS):
            some = rows_of(vectors, first, first + _EXTRAS)
            for i, (query, weight) in enumerate(zip(queries, weights, strict=True)):
                scores[i, first : first + _EXTRAS] = extra(query, some, weight)

    def _look(
        self, look: FirstLook, scores: Float[np.ndarray, "queries museums"]
    ) -> None:
        """Adds approximate scores of items, in as many threads as there are cores."""
        threads = min(_threads(), len(self._blocks))
        waiting = iter(self._blocks)
        if threads == 1:
            look(waiting, scores)
            return
        with ThreadPoolExecutor(threads) as pool:
            parts = [pool.submit(look, waiting, scores) for _ in range(threads)]
            for part in parts:
                part.result()

    def _settle(
        self,
        query: QueryVectors,
        theme_weight: float,
        top_k: int,
        scores: Float[np.ndarray, " museums"],
    ) -> Hits:
        """The best museums in float64.

        Args:
            query: Embedded.
            theme_weight: Of the themes.
            top_k: How many are wanted.
            scores: Within their bounds; -inf for museums that do not count.
        """
        bounds = self._bounds(query, scores)
        top_k = min(top_k, len(scores))
        needed = np.partition(scores - bounds, -top_k)[-top_k]
        highest = scores + bounds
        near = np.flatnonzero((highest >= needed) & (scores > -np.inf))
        near = near[np.argsort(-highest[near], kind="stable")]
        best = Hits(np.empty(0), np.empty(0, np.int64))
        for first in range(0, len(near), _SETTLED):
            if len(best.rows) == top_k and highest[near[first]] < best.scores[-1]:
                break
            rows = near[first : first + _SETTLED]
            exact = [self._museums.score(query, theme_weight, int(row)) for row in rows]
            found = np.concatenate([best.scores, exact])
            rows = np.concatenate([best.rows, rows])
            order = np.lexsort((rows, -found))[:top_k]
            best = Hits(found[order], rows[order])
        return best

    def _bounds(
        self, query: QueryVectors, scores: Float[np.ndarray, " museums"]
    ) -> Float[np.ndarray, " museums"]:
        """How far approximate scores may be from the exact ones; float64."""
        sharpness, size = self._museums.sharpness, query.sentences.shape[1]
        lengths = np.linalg.norm(query.sentences.astype(np.float64), axis=1)
        by_length = float(lengths @ np.abs(query.weights).astype(np.float64))
        by_weight = float(np.abs(query.weights).sum())
        # A product of `size` terms, an exponential, a sum of as many of them as a
        # museum has items, its logarithm; twice the roundings that those take.
        rounded = 2 * (by_length * (size + 8)) + 2 * by_weight * (
            (self._longest + 16) / sharpness + 8
        )
        # The scores themselves are rounded to float32.
        largest = np.abs(scores)
        largest[np.isinf(largest)] = 0
        return 1.0001 * by_length * self._errors.astype(np.float64) + (
            _ROUNDOFF * (rounded + 2 * largest.astype(np.float64))
        )


def _threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


class FirstLook:
    """Approximate scores of all museums, by one thread or several.

    Attributes:
        groups: Some sentences each, float32, and what their soft maxima, times the
            sharpness, count in the scores of queries.
    """

    def __init__(
        self,
        museums: ItemMuseums,
        queries: Sequence[QueryVectors],
    ):
        """Takes queries, checked."""
        self._museums, self._queries = museums, queries
        sentences = np.concatenate([query.sentences for query in queries])
        of_query = np.repeat(
            np.arange(len(queries)), [len(query.sentences) for query in queries]
        )
        weights = np.zeros((len(queries), len(sentences)))
        weights[of_query, np.arange(len(sentences))] = np.concatenate(
            [query.weights for query in queries]
        )
        groups = range(0, len(sentences), SENTENCES)
        self.groups = [
            (
                sentences[first : first + SENTENCES].astype(np.float32),
                weights[:, first : first + SENTENCES] / museums.sharpness,
            )
            for first in groups
        ]

    def __call__(
        self,
        blocks: Iterator[tuple[int, int]],
        scores: Float[np.ndarray, "queries museums"],
    ) -> None:
        """Adds to the scores of museums, a block at a time, as long as there are.

        Args:
            blocks: First museum, and last one but one; shared with other threads.
            scores: To add to.
        """
        size = self._museums.codes.shape[1]
        together = min(len(self.groups[0][0]), SENTENCES)
        rows = max(MULTIPLIED // (together * size), 1)
        rows = min(1 << (rows.bit_length() - 1), 64)
        wide = np.zeros((-(-_ITEMS // rows), rows, size), np.float32)
        offsets = self._museums.embedded.offsets
        for first, last in blocks:
            start, end = int(offsets[first]), int(offsets[last])
            parts = -(-(end - start) // rows)
            if parts > len(wide):
                wide = np.zeros((parts, rows, size), np.float32)
            wide.reshape(-1, size)[: end - start] = self._museums.codes[start:end]
            scales = np.zeros(parts * rows, np.float32)
            scales[: end - start] = self._museums.scales[start:end]
            scales *= np.float32(self._museums.sharpness)
            scores[:, first:last] += self._soft_maxima(
                wide[:parts],
                scales.reshape(parts, rows),
                offsets[first:last] - start,
                end - start,
            )

    def _soft_maxima(
        self,
        items: Float[np.ndarray, "parts rows d"],
        scales: Float[np.ndarray, "parts rows"],
        starts: Int[np.ndarray, " museums"],
        count: int,
    ) -> Float[np.ndarray, "queries museums"]:
        """Weighted soft maxima of a block's museums; `count` of its rows are items."""
        total = np.zeros((len(self._queries), len(starts)))
        for sentences, weights in self.groups:
            products = np.matmul(sentences, items.transpose(0, 2, 1))
            by_sentence = np.empty((len(sentences), *scales.shape), np.float32)
            np.multiply(products.transpose(1, 0, 2), scales, out=by_sentence)
            np.exp(by_sentence, out=by_sentence)
            each = by_sentence.reshape(len(sentences), -1)[:, :count]
            total += weights @ np.log(np.add.reduceat(each, starts, axis=1))
        return total
