"""Search among museums of many vectors each that Qdrant holds.

Qdrant ranks by the best mixture of items for each sentence (`engine.mixtures`). That is
at most the score, and at least the best item, which is below the soft maximum by
``log(items) / sharpness`` at most; whole vectors and themes have lists of their own. So
the lists say how high the score of a museum can be that is in none of them, and bound
those that are. Museums are compared in float64, those with the highest bound first,
until no other can belong to the best; the lists get longer as long as that is not so,
up to a limit. Results that reached it are said not to be exact.

References:
    Fagin, Lotem and Naor, Optimal Aggregation Algorithms for Middleware (2003), whose
    threshold algorithm this is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from hm3_jax.objective.late_interaction import QueryVectors, extra
from hm3_jax.retrieval.engine.bounds import most_above
from hm3_jax.retrieval.engine.connection import DEFAULT_CANDIDATES
from hm3_jax.retrieval.engine.mixtures import query_rows
from hm3_jax.retrieval.engine.museums import Near, PublishedMuseums
from hm3_jax.retrieval.engine.points import (
    ITEMS,
    THEMES,
    VECTORS,
    probabilities,
    vector_sizes,
)
from hm3_jax.retrieval.exact import Hits, check_top_k, product_error
from hm3_jax.retrieval.item_museums import ItemMuseums, check_query_vectors

# Museums in the first lists, and by how much the next ones are longer.
_FIRST, _GROWTH = 64, 4
# Museums whose items are asked for at a time.
_FETCHED = 64
# Of the columns, what bounds a museum's score, and what gives it.
_BOUNDING = ("bias", "vectors", "log_themes", "item_kinds")
_SCORING = ("bias", "vectors", "log_themes", "items")
# Below the logarithm of every probability that float32 has.
_TINY = 1e-37


class EngineItemSearch:
    """Ranking by late interaction, with Qdrant's help."""

    def __init__(self, museums: PublishedMuseums, most: int = DEFAULT_CANDIDATES):
        """Takes museums of many vectors each.

        Args:
            museums: In Qdrant.
            most: Museums in a list, and so about as many that are compared exactly for
                a query. Collections that are not larger are always ranked exactly.
        """
        self._museums, self._most = museums, most
        # None: what all museums have in common.
        model = museums.columns([], [])
        assert isinstance(model, ItemMuseums)
        self._model = model

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
        check_top_k(top_k)
        themes = [None] * len(queries) if themes is None else themes
        weights = [
            self._model.theme_weight if weight is None else weight
            for weight in theme_weights or [None] * len(queries)
        ]
        rankings = [
            _Ranking(self._museums, self._model, query, weight, top_k)
            for query, weight in zip(queries, weights, strict=True)
        ]
        most = max(self._most, top_k + 1)
        limit = min(max(_FIRST, 2 * top_k), most)
        while True:
            waiting = [i for i, one in enumerate(rankings) if not one.settled]
            for i, lists in zip(
                waiting,
                self._lists(
                    [rankings[i] for i in waiting], [themes[i] for i in waiting], limit
                ),
                strict=True,
            ):
                rankings[i].look(lists, limit)
            if limit == most or all(one.settled for one in rankings):
                return [one.hits() for one in rankings]
            limit = min(_GROWTH * limit, most)

    def _lists(
        self,
        rankings: Sequence[_Ranking],
        themes: Sequence[Collection[int] | None],
        limit: int,
    ) -> list[dict[str, Near]]:
        """For each ranking, the lists that it asks for by their names."""
        lists: list[dict[str, Near]] = [{} for _ in rankings]
        for name in (ITEMS, VECTORS, THEMES):
            asking = [i for i, one in enumerate(rankings) if name in one.asks]
            if not asking:
                continue
            found = self._museums.near(
                name,
                [rankings[i].asks[name] for i in asking],
                [themes[i] for i in asking],
                limit,
                _BOUNDING,
            )
            for i, near in zip(asking, found, strict=True):
                lists[i][name] = near
        return lists


class _Ranking:
    """The museums found so far for one query.

    Attributes:
        asks: What Qdrant is asked, by the name of the vectors that are compared.
        settled: Whether the best are known for sure.
    """

    def __init__(
        self,
        museums: PublishedMuseums,
        model: ItemMuseums,
        query: QueryVectors,
        theme_weight: float,
        top_k: int,
    ):
        check_query_vectors(query, model.embedded)
        if (query.weights < 0).any():
            raise ValueError(
                "expected weights of sentences that are 0 or more, found "
                f"{query.weights.min():g}"
            )
        self._museums, self._query, self._top_k = museums, query, top_k
        self._theme_weight, self._sharpness = theme_weight, model.sharpness
        self._scores: dict[int, float] = {}
        self.settled = False
        self.asks: dict[str, np.ndarray] = {
            ITEMS: query_rows(query.sentences, query.weights)
        }
        sizes = vector_sizes(museums.manifest)
        if VECTORS in sizes:
            self.asks[VECTORS] = query.vector
        if THEMES in sizes and theme_weight > 0:
            self.asks[THEMES] = probabilities(query.themes)

    def look(self, lists: Mapping[str, Near], limit: int) -> None:
        """Compares what the lists have, as far as it may belong to the best.

        Args:
            lists: By name.
            limit: How many museums were asked for.
        """
        bounds = self._bounds(lists)
        rows = sorted(bounds, key=lambda row: -bounds[row])
        needed = self._needed()
        while waiting := [
            row for row in rows if row not in self._scores and bounds[row] >= needed
        ]:
            self._score(waiting[:_FETCHED])
            needed = self._needed()
        all_seen = any(
            len(near.rows) < limit or len(near.rows) == len(self._museums)
            for near in lists.values()
        )
        self.settled = bool(all_seen or self._unseen(lists) < needed)

    def hits(self) -> Hits:
        """The best museums."""
        rows = np.fromiter(self._scores, np.int64)
        scores = np.fromiter(self._scores.values(), np.float64)
        order = np.lexsort((rows, -scores))[: self._top_k]
        return Hits(scores[order], rows[order], self.settled)

    def _needed(self) -> float:
        """The score that a museum needs to be among the best, or more."""
        if len(self._scores) < self._top_k:
            return -np.inf
        return sorted(self._scores.values())[-self._top_k]

    def _score(self, rows: Sequence[int]) -> None:
        museums = self._museums.columns(rows, _SCORING)
        assert isinstance(museums, ItemMuseums)
        for place, row in enumerate(rows):
            self._scores[row] = museums.score(self._query, self._theme_weight, place)

    def _bounds(self, lists: Mapping[str, Near]) -> dict[int, float]:
        """For each museum of some list, what its score is at most."""
        by_items = lists[ITEMS]
        last = by_items.scores[-1] if len(by_items.rows) else -np.inf
        best = dict(zip(by_items.rows.tolist(), by_items.scores, strict=True))
        bounds: dict[int, float] = {}
        for near in lists.values():
            museums = near.museums
            assert isinstance(museums, ItemMuseums)
            vectors = museums.embedded
            # Qdrant's score has the bias, as often as sentences' weights add up to.
            above = most_above(vectors.offsets, self._sharpness) - vectors.bias
            besides = extra(self._query, vectors, self._theme_weight)
            more_than = self._total * above + besides
            for row, more in zip(near.rows.tolist(), more_than, strict=True):
                bounds[row] = best.get(row, last) + self._error + more
        return bounds

    def _unseen(self, lists: Mapping[str, Near]) -> float:
        """What the score of a museum is at most that is in no list."""
        if self._theme_weight < 0 and len(self._query.themes):
            return np.inf  # the least alike, which no list puts first
        facts = self._museums.facts
        bound = lists[ITEMS].scores[-1] + self._error + self._total * facts["above"]
        bound += abs(1 - self._total) * facts["bias"]
        if VECTORS in lists:
            length = np.linalg.norm(self._query.vector.astype(np.float64))
            error = product_error(len(self._query.vector)) * length * facts["length"]
            bound += lists[VECTORS].scores[-1] + error
        if THEMES in lists:
            error = 2 * product_error(len(self._query.themes))
            probable = lists[THEMES].scores[-1] * (1 + error) + _TINY
            bound += self._theme_weight * np.log(probable)
        return bound

    @property
    def _total(self) -> float:
        return float(self._query.weights.astype(np.float64).sum())

    @property
    def _error(self) -> float:
        """How far a maximum in float32 may be from the exact one."""
        facts, query = self._museums.facts, self._query
        lengths = np.linalg.norm(query.sentences.astype(np.float64), axis=1)
        lengths += facts["above"] + facts["bias"]
        count = sum(query.sentences.shape) + 4
        return product_error(count) * float(lengths @ query.weights)
