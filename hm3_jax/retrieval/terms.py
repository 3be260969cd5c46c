"""Museums first where one room shows all that a sentence names.

A cosine adds up what a sentence names, so that for "a golden angel" much gold counts as
much as some gold and an angel. Here the words of a sentence, each embedded by itself,
are looked for one by one: how far the best item of a room stands out for a word is
told in deviations over the collection's rooms, and a room is as good as a soft minimum
over the words.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.objective.late_interaction import MuseumVectors, QueryVectors
from hm3_jax.retrieval.exact import Hits, Search
from hm3_jax.retrieval.products import products

CANDIDATES = 40
"""Museums, the best by their scores, that are looked at again."""

# Chosen on generated museums of another seed, see docs/search.md: how hard the minimum
# is, and how many deviations of a score a deviation of the minimum counts.
_HARDNESS, _WEIGHT = 0.5, 4.0
# Museums whose rooms say what is usual.
_SAMPLE = 64


class HasItems(Protocol):
    """Museums of many vectors, wherever they are."""

    @property
    def sharpness(self) -> float:
        """Of the soft maximum."""
        ...

    def __len__(self) -> int:
        """Number of museums."""
        ...

    def vectors_of(self, rows: Int[np.ndarray, " museums"]) -> MuseumVectors:
        """Some museums, in their order, with their items and rooms at least."""
        ...


class TermSearch:
    """A search whose best museums are put in order once more by a query's terms."""

    def __init__(self, search: Search, museums: HasItems):
        """Takes the search that finds candidates, and its museums."""
        self._search, self._museums = search, museums

    def search(
        self,
        queries: Sequence[QueryVectors],
        top_k: int,
        themes: Sequence[Collection[int] | None] | None = None,
        theme_weights: Sequence[float | None] | None = None,
    ) -> list[Hits]:
        """See `hm3_jax.retrieval.exact.Search`; terms add to scores."""
        again = any(map(_has_terms, queries))
        most = max(top_k, CANDIDATES) if again else top_k
        found = self._search.search(queries, most, themes, theme_weights)
        return [
            self._ordered(query, hits, top_k)
            if len(hits.rows) and _has_terms(query)
            else Hits(hits.scores[:top_k], hits.rows[:top_k], hits.exact)
            for query, hits in zip(queries, found, strict=True)
        ]

    def _ordered(self, query: QueryVectors, hits: Hits, top_k: int) -> Hits:
        rooms = _rooms(self._museums.vectors_of(hits.rows))
        vectors = np.concatenate([terms.vectors for terms in query.terms])
        known = self._usual.best(vectors)
        deviations = (rooms.best(vectors) - known.mean(axis=1, keepdims=True)) / (
            np.maximum(known.std(axis=1, keepdims=True), 1e-9)
        )
        total, first = np.zeros(len(hits.rows)), 0
        for terms, weight in zip(query.terms, query.weights, strict=True):
            last = first + len(terms.weights)
            if last > first:
                shown = all_of(deviations[first:last], terms.weights)
                total += weight * rooms.of_museums(shown)
            first = last
        scores = hits.scores + _WEIGHT * self._spread(query) * total
        order = np.lexsort((hits.rows, -scores))[:top_k]
        return Hits(scores[order], hits.rows[order], hits.exact)

    @functools.cached_property
    def _usual(self) -> _Rooms:
        some = np.linspace(0, len(self._museums) - 1, min(_SAMPLE, len(self._museums)))
        return _rooms(self._museums.vectors_of(np.unique(some.astype(np.int64))))

    def _spread(self, query: QueryVectors) -> float:
        """Deviation of a query's scores over the collection, by its items."""
        usual, sharpness = self._usual, self._museums.sharpness
        cosines = products(query.sentences, usual.items)
        firsts = usual.starts[usual.firsts]
        counts = np.diff(firsts, append=cosines.shape[1])
        # No sum is 0 or beyond float32: cosines and sharpness are bounded.
        sums = np.add.reduceat(np.exp(sharpness * cosines), firsts, axis=1)
        return float((query.weights @ (np.log(sums / counts) / sharpness)).std())


def all_of(
    deviations: Float[np.ndarray, "terms rooms"], weights: Float[np.ndarray, " terms"]
) -> Float[np.ndarray, " rooms"]:
    """Soft minimum over terms: ``-log(sum_t w_t exp(-h d_t)) / h``.

    Args:
        deviations: How far the best item of each room stands out for each term.
        weights: Of the terms; they sum to 1.
    """
    return -np.log(weights @ np.exp(-_HARDNESS * deviations)) / _HARDNESS


class _Rooms(NamedTuple):
    """Items of some museums, room by room.

    Attributes:
        items: float32.
        starts: First item of each room.
        firsts: First room of each museum.
    """

    items: Float[np.ndarray, "items d"]
    starts: Int[np.ndarray, " rooms"]
    firsts: Int[np.ndarray, " museums"]

    def best(
        self, vectors: Float[np.ndarray, "terms d"]
    ) -> Float[np.ndarray, "terms rooms"]:
        """Largest cosine of each vector with an item of each room."""
        return np.maximum.reduceat(products(vectors, self.items), self.starts, axis=1)

    def of_museums(
        self, values: Float[np.ndarray, " rooms"]
    ) -> Float[np.ndarray, " museums"]:
        """The largest value of each museum's rooms."""
        return np.maximum.reduceat(values, self.firsts)


def _rooms(museums: MuseumVectors) -> _Rooms:
    numbers = np.arange(len(museums))
    owner = np.repeat(numbers, np.diff(museums.offsets))
    rooms = museums.rooms.astype(np.int64)
    of_room = owner * (rooms.max() + 1) + rooms
    order = np.argsort(of_room, kind="stable")
    starts = np.flatnonzero(np.diff(of_room[order], prepend=-1))
    return _Rooms(
        museums.items[order].astype(np.float32),
        starts,
        np.searchsorted(owner[order][starts], numbers),
    )


def _has_terms(query: QueryVectors) -> bool:
    return any(len(terms.weights) for terms in query.terms)
