"""Intervals beside scipy's, quantiles by hand and plain loops."""

import statistics

import numpy as np
import pytest
import scipy.special

from hm3_jax.reporting.bootstrap import over_queries, over_tries


def test_over_queries_beside_a_plain_loop():
    random = np.random.default_rng(5)
    values = random.normal([0.3, 0.0], 1.0, (60, 2))
    found = over_queries(values, resamples=400, seed=9)
    drawn = np.random.default_rng(9).integers(0, 60, (400, 60))
    for column, interval in enumerate(found):
        means = [statistics.fmean(values[row, column]) for row in drawn]
        assert interval.difference == pytest.approx(values[:, column].mean())
        low, high = np.quantile(means, [0.025, 0.975])
        assert (interval.low, interval.high) == pytest.approx((low, high))
        below = sum(mean <= 0 for mean in means)
        above = sum(mean >= 0 for mean in means)
        assert interval.p == pytest.approx(min(1, 2 * (1 + min(below, above)) / 401))


def test_over_queries_beside_scipy():
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(1).normal(1.0, 4.0, 300)
    (found,) = over_queries(values[:, None])
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    spread = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.05 * spread)
    assert found.high == pytest.approx(expected.high, abs=0.05 * spread)
    assert found.significant == (not expected.low < 0 < expected.high)


def test_p_is_even_where_nothing_differs():
    """Of many data sets without a difference, one in twenty comes out significant."""
    random = np.random.default_rng(3)
    found = over_queries(random.normal(0, 1, (200, 400)), resamples=1000)
    assert 5 <= sum(interval.significant for interval in found) <= 40


def has_no_spread(found):
    return np.isnan([found.low, found.high, found.p]).all() and not found.significant


@pytest.mark.parametrize("queries", [1, 2, 10])
@pytest.mark.parametrize("value", [0.0, 1e-17, 0.83])
def test_queries_that_all_differ_by_the_same(value, queries):
    varied = np.linspace(0, 1, queries)
    columns = np.stack([np.full(queries, value), varied], axis=1)
    same, other = over_queries(columns, resamples=50)
    assert same.difference == pytest.approx(value)
    assert has_no_spread(same)
    assert has_no_spread(other) == (queries == 1)


@pytest.mark.parametrize("paired", [True, False])
def test_few_coarse_scores_differ_by_chance_no_more_often_than_they_should(paired):
    """A recall of few museums takes few values, so tries are often all alike.

    Both runs draw from the same two recalls, so every significant result is wrong.
    """
    draws = np.random.default_rng(8).choice([10.0, 10.83], (1000, 2, 2))
    found = [over_tries(a, b, paired=paired) for a, b in draws]
    assert sum(i is not None and has_no_spread(i) for i in found) > 200
    assert np.mean([i is not None and i.significant for i in found]) <= 0.05
    # Where all tries of a run are alike, one in eight times the runs differ by chance.
    alike = (np.ptp(draws, axis=2) == 0).all(axis=1)
    assert 0.1 < np.mean(alike & (draws[:, 0, 0] != draws[:, 1, 0])) < 0.15


def by_hand(difference, variance, freedom):
    """Ends of the interval and p, from quantiles of Student's t."""
    error = variance**0.5
    half = scipy.special.stdtrit(freedom, 0.975) * error
    p = 2 * scipy.special.stdtr(freedom, -abs(difference) / error)
    return difference - half, difference + half, p


def test_over_tries_of_pairs():
    a, b = np.array([1.0, 4.0, 2.5]), np.array([0.5, 1.0, 3.0])
    found = over_tries(a, b, paired=True)
    assert found is not None
    assert found.difference == pytest.approx(1.0)
    expected = by_hand(1.0, statistics.variance(a - b) / 3, 2)
    assert (found.low, found.high, found.p) == pytest.approx(expected)


def test_over_tries_of_unpaired_tries():
    a, b = np.array([1.0, 3.0]), np.array([0.0, 1.0, 2.0])
    found = over_tries(a, b, paired=False)
    assert found is not None
    assert found.difference == pytest.approx(1.0)
    shares = statistics.variance(a) / 2, statistics.variance(b) / 3
    freedom = sum(shares) ** 2 / (shares[0] ** 2 / 1 + shares[1] ** 2 / 2)
    expected = by_hand(1.0, sum(shares), freedom)
    assert (found.low, found.high, found.p) == pytest.approx(expected)


@pytest.mark.parametrize("paired", [True, False])
def test_tries_that_are_all_alike(paired):
    for value in (2.0, 1.17):
        found = over_tries(np.full(3, 2.0), np.full(3, value), paired=paired)
        assert found is not None and found.difference == pytest.approx(2 - value)
        assert has_no_spread(found)


def test_paired_tries_that_all_differ_by_the_same():
    a = np.array([10.0, 12.5, 11.0])
    found = over_tries(a, a - 0.83, paired=True)
    assert found is not None and found.difference == pytest.approx(0.83)
    assert has_no_spread(found)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("tries", [2, 3, 5])
def test_intervals_over_few_tries_hold_the_true_difference(tries, paired):
    """Of 95 % intervals, some 95 in 100 do."""
    random = np.random.default_rng(tries)
    found = [
        over_tries(*random.normal(0, 1, (2, tries)), paired=paired) for _ in range(400)
    ]
    held = np.mean([i is not None and i.low <= 0 <= i.high for i in found])
    assert 0.89 <= held <= 0.99
    # And p is below 0.05 for at most about one in twenty.
    assert np.mean([i is not None and i.significant for i in found]) <= 0.09


@pytest.mark.parametrize("queries", [50, 500])
def test_intervals_over_queries_hold_the_true_difference(queries):
    """Scores such as reciprocal ranks: far from normal, and few of them."""
    random = np.random.default_rng(queries)
    a, b = 100 / random.geometric(0.3, (2, queries, 600))
    found = over_queries(a - b + 2.0, resamples=1000)
    held = np.mean([interval.low <= 2.0 <= interval.high for interval in found])
    assert 0.92 <= held <= 0.98


def test_one_try_has_no_interval():
    assert over_tries(np.array([1.0]), np.array([1.0, 2.0]), paired=False) is None
