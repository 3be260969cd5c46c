"""Metrics of every single test query, from embeddings, in numpy.

The means over queries are those of `hm3_jax.objective.metrics`, which ranks both
directions on the device. Here the by-theme scores, which take a full sort, are made for
one direction, without starting JAX, and in threads: a report ranks hundreds of tries.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

_CUTOFFS = (1, 5, 10)
# Queries ranked at a time: what fits the processor's cache is twice as fast.
_BLOCK = 128


@dataclasses.dataclass(frozen=True, slots=True)
class Ranking:
    """Similarities of a test set, from which scores are made.

    Attributes:
      queries: unit vectors, float32 (n, d).
      items: unit vectors, float32 (n, d); row i belongs to query i.
    """

    queries: Float[np.ndarray, "n d"]
    items: Float[np.ndarray, "n d"]

    @classmethod
    def of(
        cls, descriptions: Float[np.ndarray, "n d"], museums: Float[np.ndarray, "n d"]
    ) -> "Ranking":
        """Ranks museums for each description (t2s)."""
        return cls(_unit(descriptions), _unit(museums))

    @property
    def reversed(self) -> "Ranking":
        """The other direction."""
        return Ranking(self.items, self.queries)

    def similarity(self, rows: slice | np.ndarray) -> Float[np.ndarray, "rows n"]:
        """Cosines of some queries with every item."""
        return self.queries[rows] @ self.items.T

    def own_ranks(self) -> Int[np.ndarray, " n"]:
        """Rank of every query's own item, from 1; ties by index."""
        count = len(self.queries)
        ranks = np.empty(count, np.int64)
        columns = np.arange(count)
        for rows in _blocks(count):
            similarity = self.similarity(rows)
            own = similarity[np.arange(len(similarity)), columns[rows]][:, None]
            ahead = similarity > own
            ahead |= (similarity == own) & (columns < columns[rows][:, None])
            ranks[rows] = 1 + ahead.sum(axis=1)
        return ranks


def query_scores(
    ranking: Ranking, themes: Int[np.ndarray, " n"], direction: str, *, by_theme: bool
) -> dict[str, Float[np.ndarray, " n"]]:
    """Scores of every query, whose mean over queries is the metric of that key.

    Args:
      ranking: in the wanted direction.
      themes: theme of every museum; only equality matters.
      direction: begins the keys, "t2s" or "s2t".
      by_theme: also those by theme, which take a sort.

    Returns:
      float32 in percent, ranks from 1; of the published keys all but median_rank,
      which is no mean.
    """
    rank = ranking.own_ranks()
    scores = {f"{direction}_R@{k}": 100.0 * (rank <= k) for k in _CUTOFFS}
    scores[f"{direction}_mean_rank"] = rank
    scores[f"{direction}_avg_ndcg"] = 100 / np.log2(1 + rank)
    scores[f"{direction}_mAP"] = 100 / rank
    if by_theme:
        scores |= {
            f"{direction}_{key}": value
            for key, value in _by_theme(ranking, themes).items()
        }
    return {key: np.asarray(value, np.float32) for key, value in scores.items()}


def relevant_positions(
    ranking: Ranking, themes: Int[np.ndarray, " n"], rows: slice | np.ndarray
) -> list[Int[np.ndarray, " relevant"]]:
    """Ranks (from 1) at which items of each query's theme stand."""
    query, position = np.nonzero(_relevance_in_order(ranking, themes, rows))
    ends = np.cumsum(np.bincount(query))
    return np.split(position + 1, ends[:-1])


def _by_theme(
    ranking: Ranking, themes: Int[np.ndarray, " n"]
) -> dict[str, Float[np.ndarray, " n"]]:
    count = len(themes)
    discount = 1 / np.log2(np.arange(2, count + 2))
    ideal = np.cumsum(discount)
    sizes = np.bincount(np.unique(themes, return_inverse=True)[1])
    of_query = sizes[np.unique(themes, return_inverse=True)[1]]
    precision, gain = np.empty(count), np.empty(count)
    hits = np.empty((count, len(_CUTOFFS)))
    for rows in _blocks(count):
        found = _relevance_in_order(ranking, themes, rows)
        for column, k in enumerate(_CUTOFFS):
            hits[rows, column] = found[:, :k].sum(axis=1)
        # Of the items of the theme alone: the j-th stands at position[j].
        position = np.nonzero(found)[1]
        relevant = of_query[rows]
        starts = np.cumsum(relevant) - relevant
        order = 1 + np.arange(len(position)) - np.repeat(starts, relevant)
        precision[rows] = np.add.reduceat(order / (position + 1), starts)
        gain[rows] = np.add.reduceat(discount[position], starts)
    scores = {
        "mAP_by_class": 100 * precision / of_query,
        "avg_ndcg_by_class": 100 * gain / ideal[of_query - 1],
    }
    for column, k in enumerate(_CUTOFFS):
        scores[f"class_P@{k}"] = 100 * hits[:, column] / k
        scores[f"class_R@{k}"] = 100 * hits[:, column] / of_query
    return scores


def _relevance_in_order(
    ranking: Ranking, themes: Int[np.ndarray, " n"], rows: slice | np.ndarray
) -> Int[np.ndarray, "rows n"]:
    """1 where an item of the query's theme stands, in ranked order; ties by index.

    A key is, from its highest bit: 32 bits that order like the falling similarity, 31
    of index, 1 of relevance. Sorting numbers is several times faster than argsort.
    """
    similarity = ranking.similarity(rows)
    np.negative(similarity, out=similarity)
    similarity += np.float32(0)  # -0.0 and 0.0 are equal but have other bits
    bits = similarity.view(np.int32)
    # Negative floats order backwards as integers: flip all but their sign.
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    keys = bits.astype(np.int64)
    keys <<= 32
    keys |= np.arange(keys.shape[1]) << 1
    keys |= themes[rows][:, None] == themes
    keys.sort(axis=1)
    keys &= 1
    return keys


def _blocks(count: int) -> list[slice]:
    return [slice(i, min(i + _BLOCK, count)) for i in range(0, count, _BLOCK)]


def _unit(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    squares = np.einsum("nd,nd->n", rows, rows)[:, None]
    return rows / np.sqrt(squares + np.float32(1e-18))
