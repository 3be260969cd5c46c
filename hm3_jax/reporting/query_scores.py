"""Metrics of every single test query, from embeddings, ranked in numpy.

The formulas are those of `hm3_jax.objective.metric_table`, as in
`hm3_jax.objective.metrics`, which ranks on the device. Here the scores by theme, which
take a full sort, are made only for the directions that are asked for, and without
starting JAX: a report ranks hundreds of tries.
"""

import dataclasses
from collections.abc import Collection, Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from hm3_jax.objective.metric_table import (
    DIRECTIONS,
    Found,
    Relevance,
    found_at,
    found_in,
    scores_of_queries,
)
from hm3_jax.objective.similarity import COSINE

# Queries ranked at a time: what fits the processor's cache is twice as fast.
_BLOCK = 128
# Similarities that are kept instead of made once for each direction: 128 MB.
_KEPT = 2**25


@dataclasses.dataclass(frozen=True, slots=True)
class Ranking:
    """Embeddings of a test set, in one direction; or the scores of all pairs.

    Attributes:
        queries: unit vectors, float32 (n, d).
        items: unit vectors, float32 (n, d); row i belongs to query i.
        scores: of all queries (rows) and items, float32, of models that compare more
            than one vector of each, whose d is 0 here; else None.
    """

    queries: Float[np.ndarray, "n d"]
    items: Float[np.ndarray, "n d"]
    scores: Float[np.ndarray, "n n"] | None = None

    @classmethod
    def of(
        cls,
        descriptions: Float[np.ndarray, "n d"],
        museums: Float[np.ndarray, "n d"],
        scores: Float[np.ndarray, "n n"] | None = None,
    ) -> "Ranking":
        """Ranks museums for each description (t2s), by scores where there are some."""
        if scores is not None:
            return cls(descriptions, museums, scores)
        return cls(COSINE.prepare(descriptions, {}), COSINE.prepare(museums, {}))

    def similarity(
        self, rows: slice | Int[np.ndarray, " rows"]
    ) -> Float[np.ndarray, "rows n"]:
        """Cosines, or scores, of some queries with every item."""
        if self.scores is not None:
            return self.scores[rows]
        return COSINE.block(self.queries[rows], self.items, {})


def score_queries(
    ranking: Ranking,
    themes: Int[np.ndarray, " n"],
    *,
    by_theme: Collection[str] = ("t2s",),
) -> dict[str, Float[np.ndarray, " n"]]:
    """Scores of every query, whose mean over queries is the metric of that key.

    Args:
        ranking: of museums for descriptions.
        themes: theme of every museum; only equality matters.
        by_theme: directions of which scores by theme are wanted too.

    Returns:
        float32 in percent, ranks from 1; of the published keys all but median_rank,
        which is no mean.
    """
    labels = np.unique(themes, return_inverse=True)[1]
    kept = _kept(ranking)
    scores: dict[str, np.ndarray] = {}
    for direction in DIRECTIONS:
        themed = direction in by_theme
        if direction == "s2t" and kept is not None and not themed:
            # Columns can be counted as they are; only a sort takes turning them.
            rank = _own_ranks_of_columns(kept)
            found: dict[Relevance, Found] = {"own": found_at(rank)}
        else:
            found = _ranked_in_blocks(ranking, direction, kept, labels, themed)
        scores |= {
            f"{direction}_{name}": values.astype(np.float32)
            for name, values in scores_of_queries(found).items()
        }
    return scores


def _ranked_in_blocks(
    ranking: Ranking,
    direction: str,
    kept: Float[np.ndarray, "n n"] | None,
    labels: Int[np.ndarray, " n"],
    themed: bool,
) -> dict[Relevance, Found]:
    ranks, themes = [], []
    for rows, similarity in _similarities(ranking, direction, kept):
        ranks.append(own_ranks(similarity, np.arange(len(labels))[rows]))
        if themed:
            relevant = labels[rows][:, None] == labels
            themes.append(found_in(in_ranked_order(similarity, relevant)))
    found: dict[Relevance, Found] = {"own": found_at(np.concatenate(ranks))}
    if themed:
        found["theme"] = Found(*map(np.concatenate, zip(*themes, strict=True)))
    return found


def own_ranks(
    similarity: Float[np.ndarray, "rows n"], own: Int[np.ndarray, " rows"]
) -> Int[np.ndarray, " rows"]:
    """Rank of each query's own item, from 1; ties by index.

    Args:
        similarity: of some queries.
        own: number of each one's own item.
    """
    value = similarity[np.arange(len(own)), own][:, None]
    ranks = 1 + np.count_nonzero(similarity > value, axis=1)
    equal = np.count_nonzero(similarity == value, axis=1)
    for row in np.nonzero(equal > 1)[0]:
        ranks[row] += np.count_nonzero(similarity[row, : own[row]] == value[row])
    return ranks


def _own_ranks_of_columns(
    similarity: Float[np.ndarray, "n n"],
) -> Int[np.ndarray, " n"]:
    """Rank of row i in column i, from 1; ties by index."""
    own = similarity.diagonal()
    ranks, equal = np.ones(len(own), np.int64), np.zeros(len(own), np.int64)
    for first in range(0, len(own), _BLOCK):
        block = similarity[first : first + _BLOCK]
        # Bytes hold how often, a block being smaller: faster than count_nonzero.
        ranks += np.sum((block > own).view(np.uint8), axis=0, dtype=np.uint8)
        equal += np.sum((block == own).view(np.uint8), axis=0, dtype=np.uint8)
    for column in np.nonzero(equal > 1)[0]:
        ranks[column] += np.count_nonzero(similarity[:column, column] == own[column])
    return ranks


def ranked(
    similarity: Float[np.ndarray, "rows n"], first: int | None = None
) -> Int[np.ndarray, "rows first"]:
    """Items of each query's ranking, best first; ties by index.

    Args:
        similarity: of some queries.
        first: how many of them are wanted, at most; all without it.
    """
    keys = _keys(similarity, 0)
    if first is not None and first < keys.shape[1]:
        keys = np.partition(keys, first - 1, axis=1)[:, :first]
    keys.sort(axis=1)
    return (keys >> 1) & 0x7FFFFFFF


def first_ranked(ranking: Ranking, first: int) -> dict[str, Int[np.ndarray, "n first"]]:
    """First items of every query's ranking, for each direction.

    Args:
        ranking: of museums for descriptions.
        first: how many; fewer where there are fewer.

    Returns:
        Numbers of items, best first; they stand where `score_queries` has them.
    """
    kept = _kept(ranking)
    return {
        direction: np.concatenate(
            [
                ranked(similarity, first)
                for _, similarity in _similarities(ranking, direction, kept)
            ]
        )
        for direction in DIRECTIONS
    }


def in_ranked_order(
    similarity: Float[np.ndarray, "rows n"], relevant: Bool[np.ndarray, "rows n"]
) -> Bool[np.ndarray, "rows n"]:
    """Whether what stands at each place of each ranking is relevant; ties by index.

    Sorts numbers of 32 bits, in half the time of `_keys`: relevance takes the place of
    the lowest bit of the similarity. Where that bit would have decided, or the index,
    and not all candidates are alike, the query is ranked again by `_keys`.
    """
    keys = _falling(similarity)
    keys &= ~np.int32(1)
    keys |= relevant
    keys.sort(axis=1)
    # Equal but for relevance: these are neighbours, the irrelevant before the relevant.
    doubtful = np.any((keys[:, 1:] ^ keys[:, :-1]) == 1, axis=1)
    found = (keys & 1).astype(bool)
    if doubtful.any():
        keys = _keys(similarity[doubtful], relevant[doubtful])
        keys.sort(axis=1)
        found[doubtful] = keys & 1
    return found


def _keys(
    similarity: Float[np.ndarray, "rows n"], relevant: np.ndarray | int
) -> Int[np.ndarray, "rows n"]:
    """Keys that order as a ranking does.

    A key is, from its highest bit: 32 bits that order like the falling similarity, 31
    of index, 1 of relevance. Sorting numbers is several times faster than argsort.
    """
    keys = _falling(similarity).astype(np.int64)
    keys <<= 32
    keys |= np.arange(keys.shape[1]) << 1
    keys |= relevant
    return keys


def _falling(similarity: Float[np.ndarray, "rows n"]) -> Int[np.ndarray, "rows n"]:
    """Integers of 32 bits that order as the falling similarity does."""
    falling = np.negative(similarity)
    falling += np.float32(0)  # -0.0 and 0.0 are equal but have other bits
    bits = falling.view(np.int32)
    # Negative floats order backwards as integers: flip all but their sign.
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    return bits


def _kept(ranking: Ranking) -> Float[np.ndarray, "n n"] | None:
    """All similarities, if they are few enough to keep."""
    if ranking.scores is not None:
        return ranking.scores
    if len(ranking.queries) ** 2 > _KEPT:
        return None
    return ranking.similarity(slice(None))


def _similarities(
    ranking: Ranking, direction: str, kept: Float[np.ndarray, "n n"] | None
) -> Iterator[tuple[slice, Float[np.ndarray, "rows n"]]]:
    """Similarities of a block of queries at a time, of what is kept if it is."""
    if direction == "s2t" and kept is None:
        ranking = Ranking(ranking.items, ranking.queries)
    count = len(ranking.queries)
    for first in range(0, count, _BLOCK):
        rows = slice(first, min(first + _BLOCK, count))
        if kept is None:
            yield rows, ranking.similarity(rows)
        elif direction == "t2s":
            yield rows, kept[rows]
        else:
            yield rows, np.ascontiguousarray(kept[:, rows].T)
