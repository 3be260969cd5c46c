"""Formulas of the metrics beside ir-measures, and that one table holds them all."""

import ir_measures
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ir_measures import AP, RR, P, R, Success, nDCG

from hm3_jax.learn.settings import TrainSettings
from hm3_jax.learn.training.stopping import Progress
from hm3_jax.objective.metric_table import (
    BEST_STRATEGIES,
    BY_KEY,
    KEYS,
    METRICS,
    PUBLISHED_ORDER,
    Found,
    Relevance,
    found_at,
    found_in,
    metrics_of_set,
    scores_of_queries,
)

OWN = {
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


def rankings(items: int, most: int) -> np.ndarray:
    """Whether what stands at each place is relevant, of six queries."""
    rng = np.random.default_rng(items * most)
    ranked = np.zeros((6, items), bool)
    for row in ranked:
        row[rng.choice(items, rng.integers(1, min(most, items) + 1), False)] = True
    return ranked


@pytest.mark.parametrize("most", [1, 2, 15, 40])
@pytest.mark.parametrize("items", [1, 7, 40])
def test_metrics_of_rankings_are_the_library_s(items, most):
    ranked = rankings(items, most)
    relevant = {
        str(q): {str(i): 1 for i in np.flatnonzero(row)} for q, row in enumerate(ranked)
    }
    run = {str(q): {str(i): -i for i in range(items)} for q in range(6)}
    found = found_in(ranked)
    ours = metrics_of_set({"own": found, "theme": found})
    scores = scores_of_queries({"own": found, "theme": found})
    for name, measure in {**OWN, **BY_THEME}.items():
        wanted = ir_measures.calc_aggregate([measure], relevant, run)[measure]
        assert ours[name] == pytest.approx(100 * wanted, rel=1e-6), name
        assert scores[name].mean() == pytest.approx(100 * wanted, rel=1e-6), name
    ranks = [1 / metric.value for metric in ir_measures.iter_calc([RR], relevant, run)]
    assert ours["mean_rank"] == pytest.approx(np.mean(ranks), rel=1e-6)
    assert ours["median_rank"] == pytest.approx(np.median(ranks), rel=1e-6)
    assert ours.keys() == OWN.keys() | BY_THEME.keys() | {"mean_rank", "median_rank"}


def test_one_relevant_item_is_one_at_its_rank():
    ranks = np.array([1, 3, 12, 40])
    ranked = np.arange(1, 41) == ranks[:, None]
    for one, other in zip(found_at(ranks), found_in(ranked), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_jax_arrays_give_what_numpy_s_do():
    ranked = rankings(40, 15)
    with jax.enable_x64(True):
        compiled = jax.jit(found_in)(jnp.asarray(ranked))
        for one, other in zip(compiled, found_in(ranked), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


def test_only_what_is_known_to_be_relevant_is_scored():
    found: dict[Relevance, Found] = {"theme": found_in(rankings(7, 2))}
    assert metrics_of_set(found).keys() == BY_THEME.keys()
    assert scores_of_queries(found).keys() == BY_THEME.keys()


def test_every_key_is_in_every_list_once():
    assert len(KEYS) == 2 * len(METRICS) == 30
    assert sorted(KEYS) == sorted(PUBLISHED_ORDER) == sorted(BEST_STRATEGIES.values())
    assert len({metric.label for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("strategy", BEST_STRATEGIES)
def test_the_best_epoch_is_that_of_the_better_value(strategy):
    """Of two epochs, by the direction in which the metric is better."""
    settings = TrainSettings(save_strategy="best", best_strategy=strategy)
    key = BEST_STRATEGIES[strategy]
    progress = Progress()
    for value in (30.0, 20.0):
        progress = progress.after_epoch(settings, {key: value}, 1.0)
    ranks = {"median_rank", "mean_rank"}
    assert progress.best_epoch == (2 if key[4:] in ranks else 1)
    assert BY_KEY[key].lower_is_better == (key[4:] in ranks)
