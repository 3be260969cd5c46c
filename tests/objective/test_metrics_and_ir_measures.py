"""Both rankings' metrics beside those of ir-measures, which computes them by trec_eval.

Ties are by index here and by name there, so the library is told the place at which an
item stands among equals, by a loop of its own: the sort of Python, which is stable.
"""

import json
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, P, R, Success, nDCG
from numpy.testing import assert_allclose

from hm3_jax.objective.metric_table import DIRECTIONS
from hm3_jax.objective.metrics import retrieval_metrics
from hm3_jax.reporting.query_scores import Ranking, score_queries

# Of the own museum, and of all museums of the theme. What is missing are the ranks
# themselves: the library has the reciprocal, which the mean rank is computed of.
EXACT = {
    **{f"R@{k}": Success @ k for k in (1, 5, 10)},
    "avg_ndcg": nDCG(dcg="log2"),
    "mAP": RR,
}
BY_THEME = {
    **{f"class_R@{k}": R @ k for k in (1, 5, 10)},
    **{f"class_P@{k}": P @ k for k in (1, 5, 10)},
    "avg_ndcg_by_class": nDCG(dcg="log2"),
    "mAP_by_class": AP,
}
KEYS = (*EXACT, *BY_THEME, "mean_rank", "median_rank")


def signs(rng: np.random.Generator, n: int, kinds: int) -> np.ndarray:
    """Pairs of vectors of a few kinds: ties, and similarities without rounding."""
    vectors = rng.choice([-1.0, 1.0], size=(kinds, 16)).astype(np.float32)
    return vectors[rng.integers(0, kinds, size=(2, n))]


def cases() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    described, shown = rng.standard_normal((2, 140, 32)).astype(np.float32)
    tied = signs(rng, 60, 6)
    one = np.ones((1, 4), np.float32)
    few = signs(rng, 3, 3)
    return {
        "random": (described, described + 2 * shown, rng.integers(0, 5, 140)),
        "random and as good as perfect": (described, described, np.arange(140) // 2),
        "tied": (*tied, rng.integers(0, 4, 60)),
        "fewer museums than places": (*few, np.array([0, 1, 0])),
        "one museum": (one, -one, np.array([7])),
        "one theme": (described[:30], shown[:30], np.zeros(30, np.int64)),
        "a theme for each": (described[:30], shown[:30], np.arange(30)),
        "all equal similarities": (
            np.repeat(one, 25, axis=0),
            np.repeat(one, 25, axis=0),
            np.arange(25) % 3,
        ),
        "no similarity at all": (
            np.zeros((12, 4), np.float32),
            np.zeros((12, 4), np.float32),
            np.arange(12) % 2,
        ),
    }


def by_library(described, shown, themes) -> dict[str, float]:
    similarity = Ranking.of(described, shown).similarity(slice(None))
    count = len(themes)
    found: dict[str, float] = {}
    for direction, matrix in (("t2s", similarity), ("s2t", similarity.T)):
        run, own, of_theme = {}, {}, {}
        for query, row in enumerate(matrix.tolist()):
            order = sorted(range(count), key=lambda item, row=row: -row[item])
            run[str(query)] = {str(item): count - i for i, item in enumerate(order)}
            own[str(query)] = {str(query): 1}
            of_theme[str(query)] = {
                str(item): 1 for item in range(count) if themes[item] == themes[query]
            }
        for names, relevant in ((EXACT, own), (BY_THEME, of_theme)):
            measures = ir_measures.calc_aggregate(names.values(), relevant, run)
            for key, measure in names.items():
                found[f"{direction}_{key}"] = 100 * measures[measure]
        reciprocal = ir_measures.iter_calc([RR], own, run)
        ranks = [1 / metric.value for metric in reciprocal]
        assert len(ranks) == count
        found[f"{direction}_mean_rank"] = float(np.mean(ranks))
        found[f"{direction}_median_rank"] = float(np.median(ranks))
    return found


@pytest.mark.parametrize("name", cases())
def test_both_rankings_agree_with_the_library(name):
    described, shown, themes = cases()[name]
    wanted = by_library(described, shown, themes)
    metrics = retrieval_metrics(described, shown, themes)
    assert metrics.keys() == wanted.keys()
    assert len(wanted) == 2 * len(KEYS)
    for key, value in wanted.items():
        # Metrics are of 1 here, ranks as they are: 1e-6 of percent is 1e-8 of that.
        assert_allclose(metrics[key], value, rtol=1e-6, atol=1e-6, err_msg=key)

    scores = score_queries(Ranking.of(described, shown), themes, by_theme=DIRECTIONS)
    for key in wanted:
        if "median_rank" not in key:
            mean = scores[key].mean(dtype=np.float64)
            assert_allclose(mean, wanted[key], rtol=1e-6, atol=1e-6, err_msg=key)
        else:
            ranks = scores[key.replace("median", "mean")]
            assert np.median(ranks) == wanted[key]


def test_the_published_metrics_agree_with_the_library(golden: Path):
    """What the release computed, the library, and ours: three that are the same."""
    arrays = np.load(golden / "metrics.npz")
    inputs = [arrays[name] for name in ("descriptions", "scenes", "themes")]
    published = json.loads((golden / "metrics.json").read_text())
    wanted, metrics = by_library(*inputs), retrieval_metrics(*inputs)
    assert published.keys() == wanted.keys() == metrics.keys()
    for key, value in wanted.items():
        assert_allclose(published[key], value, rtol=1e-6, atol=1e-6, err_msg=key)
        assert_allclose(metrics[key], value, rtol=1e-6, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("name", cases())
def test_scores_by_theme_agree_with_scikit_learn(name):
    """Average precision and nDCG of every query; ties as above, by place."""
    sklearn = pytest.importorskip("sklearn.metrics")
    described, shown, themes = cases()[name]
    ranking, count = Ranking.of(described, shown), len(themes)
    scores = score_queries(ranking, themes, by_theme=DIRECTIONS)
    similarity = ranking.similarity(slice(None))
    for direction, matrix in (("t2s", similarity), ("s2t", similarity.T)):
        for query, row in enumerate(matrix.tolist()):
            order = sorted(range(count), key=lambda item, row=row: -row[item])
            places = np.empty(count)
            places[order] = np.arange(count, 0, -1)
            relevant = themes == themes[query]
            precision = sklearn.average_precision_score(relevant, places)
            found = scores[f"{direction}_mAP_by_class"][query]
            assert_allclose(found, 100 * precision, rtol=1e-6)
            if count > 1:  # which it refuses to rank
                gain = sklearn.ndcg_score(relevant[None].astype(int), places[None])
                found = scores[f"{direction}_avg_ndcg_by_class"][query]
                assert_allclose(found, 100 * gain, rtol=1e-6)
