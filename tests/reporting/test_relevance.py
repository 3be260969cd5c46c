"""Queries with several relevant items beside ir-measures."""

import ir_measures
import numpy as np
import pytest
from ir_measures import AP, RR, P, R, Success, nDCG

from hm3_jax.reporting.relevance import means, scores_of_relevant, scores_of_theme

EXACT = {
    **{f"R@{k}": Success @ k for k in (1, 5, 10)},
    "avg_ndcg": nDCG(dcg="log2"),
    "mAP": AP,
}
BY_THEME = {
    **{f"class_R@{k}": R @ k for k in (1, 5, 10)},
    **{f"class_P@{k}": P @ k for k in (1, 5, 10)},
    "avg_ndcg_by_class": nDCG(dcg="log2"),
    "mAP_by_class": AP,
}


@pytest.mark.parametrize("most", [1, 2, 15, 40])
@pytest.mark.parametrize("items", [1, 7, 40])
def test_scores_and_means_are_the_library_s(items, most):
    rng = np.random.default_rng(items * most)
    positions = [
        np.sort(rng.choice(items, rng.integers(1, min(most, items) + 1), False)) + 1
        for _ in range(6)
    ]
    relevant = {str(q): {str(i): 1 for i in found} for q, found in enumerate(positions)}
    run = {str(q): {str(i): -i for i in range(1, items + 1)} for q in range(6)}
    exact = means([scores_of_relevant(found) for found in positions])
    by_theme = means([scores_of_theme(found) for found in positions])
    for names, ours in ((EXACT, exact), (BY_THEME, by_theme)):
        wanted = ir_measures.calc_aggregate(names.values(), relevant, run)
        for key, measure in names.items():
            assert ours[f"t2s_{key}"] == pytest.approx(100 * wanted[measure], rel=1e-6)
    ranks = [1 / metric.value for metric in ir_measures.iter_calc([RR], relevant, run)]
    assert exact["t2s_mean_rank"] == pytest.approx(np.mean(ranks), rel=1e-6)
    assert exact["t2s_median_rank"] == pytest.approx(np.median(ranks), rel=1e-6)
    assert len(exact) == len(EXACT) + 2 and len(by_theme) == len(BY_THEME)


def test_there_are_no_means_of_nothing():
    assert means([]) == {}
