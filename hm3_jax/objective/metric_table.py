"""Every metric once: name, formula, unit, direction, and what is relevant in it.

All that computes, lists, labels or compares metrics reads this table, so a metric is
added here and nowhere else. It starts no JAX: formulas take NumPy's arrays and JAX's
alike, traced ones too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

DIRECTIONS = ("t2s", "s2t")
"""Museums ranked for each description, descriptions ranked for each museum."""

CUTOFFS = (1, 5, 10)
"""Positions of "in the first k"."""

Relevance = Literal["own", "theme"]
"""What a query looks for: its own item (or those it describes), or its theme's."""


class Found(NamedTuple):
    """Where the relevant items of queries stand in their rankings; at least one each.

    Attributes:
        first: rank of the best one, from 1; None where no metric asks for it.
        relevant: how many there are.
        hits: of those, how many in the first 1, 5, 10.
        ndcg: gain 1 for each, over the ideal ranking's.
        average_precision: mean precision at their ranks.
    """

    first: Any
    relevant: Int[Any, " queries"]
    hits: Int[Any, "queries cutoffs"]
    ndcg: Float[Any, " queries"]
    average_precision: Float[Any, " queries"]


def found_in(ranked: Bool[Any, "queries items"]) -> Found:
    """What rankings come to, in float64 where that type is enabled.

    Args:
        ranked: whether what stands at each place is relevant. A ranking without
            anything relevant yields zeros, and a `first` behind its end.
    """
    xp = ranked.__array_namespace__()
    items = ranked.shape[1]
    hits = xp.cumsum(ranked, axis=1, dtype=xp.int32)
    relevant = hits[:, -1]
    # Sums of thousands of terms: in float32 they would lose the fifth digit.
    position = xp.arange(1, items + 1, dtype=xp.float64)
    discount = 1 / xp.log2(position + 1)
    gain = xp.sum(xp.where(ranked, discount, 0), axis=1)
    ideal = xp.cumsum(discount)[xp.maximum(relevant, 1) - 1]
    precision = xp.where(ranked, hits.astype(xp.float64) / position, 0)
    return Found(
        first=1 + xp.sum(hits == 0, axis=1, dtype=xp.int32),
        relevant=relevant,
        hits=xp.stack([hits[:, min(k, items) - 1] for k in CUTOFFS], axis=1),
        ndcg=gain / ideal,
        average_precision=xp.sum(precision, axis=1)
        / xp.maximum(relevant, 1).astype(xp.float64),
    )


def found_at(rank: Int[Any, " queries"]) -> Found:
    """`found_in` for queries with one relevant item, at these ranks from 1."""
    rank = np.asarray(rank)
    return Found(
        first=rank,
        relevant=np.ones_like(rank),
        hits=rank[:, None] <= np.array(CUTOFFS),
        ndcg=1 / np.log2(1 + rank),
        average_precision=1 / rank.astype(np.float64),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A metric, of one direction or the other.

    Attributes:
        name: published, without the direction.
        label: how tables and figures call it.
        formula: a query's score, a fraction of 1 or a rank; a metric of a set of
            queries is the mean or the median of these.
        relevance: what counts as relevant in it.
        unit: "%" or "rank", which counts from 1 and is better when lower.
        over_queries: how a set's metric is made of its queries' scores.
        graded: whether a query's score may be something between none and all.
        published_flag: what `best_strategy` calls it behind the direction.
        apart: directions in which the published order has it behind all others; empty
            where it stands among those of its direction.
    """

    name: str
    label: str
    formula: Callable[[Found], Any]
    relevance: Relevance = "own"
    unit: Literal["%", "rank"] = "%"
    over_queries: Literal["mean", "median"] = "mean"
    graded: bool = True
    published_flag: str
    apart: tuple[str, ...] = ()

    @property
    def lower_is_better(self) -> bool:
        """Whether it is a rank."""
        return self.unit == "rank"

    @property
    def is_a_mean(self) -> bool:
        """Whether it is the mean over queries, of which a bootstrap is made."""
        return self.over_queries == "mean"

    def of_queries(self, found: Found) -> np.ndarray:
        """Scores of single queries, in the metric's unit; float64."""
        scores = np.asarray(self.formula(found), np.float64)
        return 100 * scores if self.unit == "%" else scores

    def of_set(self, found: Found) -> float:
        """The metric of a set of queries, in its unit."""
        scores = np.asarray(self.formula(found), np.float64)
        # Fractions are summed before they become percent.
        return self._summary(scores) * (100 if self.unit == "%" else 1)

    def summary(self, scores: Float[np.ndarray, " queries"]) -> float:
        """The metric of a set, from what `of_queries` gave."""
        return self._summary(np.asarray(scores, np.float64))

    def _summary(self, scores: Float[np.ndarray, " queries"]) -> float:
        return float({"mean": np.mean, "median": np.median}[self.over_queries](scores))


def _at_cutoffs(
    name: str,
    label: str,
    flag: str,
    formula: Callable[[Found, int, int], Any],
    relevance: Relevance,
) -> list[Metric]:
    return [
        Metric(
            name=name.format(k=k),
            label=label.format(k=k),
            formula=lambda found, column=column, k=k: formula(found, column, k),
            relevance=relevance,
            # The own item is in the first k or it is not.
            graded=relevance == "theme",
            published_flag=flag.format(k=k),
        )
        for column, k in enumerate(CUTOFFS)
    ]


METRICS: tuple[Metric, ...] = (
    *_at_cutoffs("R@{k}", "R@{k}", "-r{k}", lambda f, _, k: f.first <= k, "own"),
    Metric(
        name="median_rank",
        label="medR",
        formula=lambda f: f.first,
        unit="rank",
        over_queries="median",
        published_flag="-medr",
    ),
    Metric(
        name="mean_rank",
        label="meanR",
        formula=lambda f: f.first,
        unit="rank",
        published_flag="-meanr",
    ),
    *_at_cutoffs(
        "class_R@{k}",
        "R@{k} by theme",
        "_c_r{k}",
        lambda f, column, _: f.hits[:, column] / f.relevant,
        "theme",
    ),
    *_at_cutoffs(
        "class_P@{k}",
        "P@{k} by theme",
        "_c_p{k}",
        lambda f, column, k: f.hits[:, column] / k,
        "theme",
    ),
    Metric(
        name="avg_ndcg",
        label="nDCG",
        formula=lambda f: f.ndcg,
        published_flag="_ndcg",
        apart=("t2s", "s2t"),
    ),
    Metric(
        name="avg_ndcg_by_class",
        label="nDCG by theme",
        formula=lambda f: f.ndcg,
        relevance="theme",
        published_flag="_c_ndcg",
        apart=("s2t", "t2s"),
    ),
    Metric(
        name="mAP",
        label="mAP",
        formula=lambda f: f.average_precision,
        published_flag="_mAP",
        apart=("s2t", "t2s"),
    ),
    Metric(
        name="mAP_by_class",
        label="mAP by theme",
        formula=lambda f: f.average_precision,
        relevance="theme",
        published_flag="_c_mAP",
        apart=("s2t", "t2s"),
    ),
)
"""All metrics, of either direction."""

BY_KEY: Mapping[str, Metric] = {
    f"{direction}_{metric.name}": metric
    for direction in DIRECTIONS
    for metric in METRICS
}
"""Metrics by their published keys, "t2s_mAP"."""

KEYS = tuple(BY_KEY)
"""Published keys, one direction after the other."""

MAIN_KEYS = ("t2s_R@1", "t2s_R@10", "t2s_median_rank", "t2s_mAP", "t2s_mAP_by_class")
"""Those that a line on a terminal has room for."""

PUBLISHED_ORDER = (
    *(key for key, metric in BY_KEY.items() if not metric.apart),
    *(f"{direction}_{m.name}" for m in METRICS for direction in m.apart),
)
"""The same keys in the published order, such as it is."""

BEST_STRATEGIES = {
    f"{direction}{metric.published_flag}": f"{direction}_{metric.name}"
    for direction in DIRECTIONS
    for metric in METRICS
}
"""Published names of `best_strategy` and the metric each one stands for."""


def label_of(key: str) -> str:
    """How tables and figures call a metric.

    >>> label_of("t2s_mAP_by_class"), label_of("s2t_R@1")
    ('t2s mAP by theme', 's2t R@1')
    """
    return f"{key.partition('_')[0]} {BY_KEY[key].label}"


def scores_of_queries(
    found: Mapping[Relevance, Found],
) -> dict[str, Float[np.ndarray, " queries"]]:
    """Scores of single queries by the name of the metric, see `Metric.of_queries`.

    Args:
        found: by what is relevant; metrics of what is left out are left out.
    """
    return {
        metric.name: metric.of_queries(found[metric.relevance])
        for metric in METRICS
        if metric.relevance in found
    }


def metrics_of_set(found: Mapping[Relevance, Found]) -> dict[str, float]:
    """All metrics of a set of queries, by name; arguments as `scores_of_queries`."""
    return {
        metric.name: metric.of_set(found[metric.relevance])
        for metric in METRICS
        if metric.relevance in found
    }
