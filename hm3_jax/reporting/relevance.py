"""Metrics of queries that say which items are relevant, one of them or many."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

_CUTOFFS = (1, 5, 10)


def scores_of_relevant(positions: Int[np.ndarray, " relevant"]) -> dict[str, float]:
    """Scores of a query whose relevant items are what it describes.

    Args:
      positions: ranks from 1 at which relevant items stand, ascending, at least one.

    Returns:
      `rank`, of the best one; percent under the published keys. With one relevant item
      they are what the published metrics are; with several, `mAP` is average precision,
      `avg_ndcg` has gain 1 for each, and `R@k` says whether one is in the first k.
    """
    precision, gain = _whole_ranking(positions)
    best = int(positions[0])
    found = {f"R@{k}": 100.0 * (best <= k) for k in _CUTOFFS}
    return {"rank": best, **found, "avg_ndcg": gain, "mAP": precision}


def scores_of_theme(positions: Int[np.ndarray, " relevant"]) -> dict[str, float]:
    """Scores of a query whose relevant items are those of a theme, in percent.

    Args:
      positions: ranks from 1 of the theme's items, ascending, at least one.
    """
    precision, gain = _whole_ranking(positions)
    hits = {k: 100.0 * np.count_nonzero(positions <= k) for k in _CUTOFFS}
    return {
        **{f"class_R@{k}": float(hits[k] / len(positions)) for k in _CUTOFFS},
        **{f"class_P@{k}": float(hits[k] / k) for k in _CUTOFFS},
        "avg_ndcg_by_class": gain,
        "mAP_by_class": precision,
    }


def means(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over queries under the published keys (t2s); empty without queries.

    Args:
      scores: of the queries, all by `scores_of_relevant` or all by `scores_of_theme`.
    """
    found: dict[str, float] = {}
    for key in scores[0] if scores else ():
        values = [score[key] for score in scores]
        if key == "rank":
            found["t2s_median_rank"] = float(np.median(values))
            found["t2s_mean_rank"] = float(np.mean(values))
        else:
            found[f"t2s_{key}"] = float(np.mean(values))
    return found


def _whole_ranking(positions: Int[np.ndarray, " relevant"]) -> tuple[float, float]:
    """Average precision, and nDCG with gain 1 for each relevant item, in percent."""
    order = np.arange(1, len(positions) + 1)
    gain = np.sum(1 / np.log2(1 + positions))
    ideal = np.sum(1 / np.log2(1 + order))
    return float(100 * np.mean(order / positions)), float(100 * gain / ideal)
