"""Bootstrap intervals beside scipy's, exact enumeration and plain loops."""

import itertools
import statistics

import numpy as np
import pytest

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


@pytest.mark.parametrize("value", [0.0, 1e-17])
def test_equal_runs_do_not_differ(value):
    (found,) = over_queries(np.full((10, 1), value), resamples=50)
    assert found.p == 1 and not found.significant


def widened(observed, means, freedom, variances):
    """Resampled means whose deviations are those of Student's t, by scipy.stats."""
    stats = pytest.importorskip("scipy.stats")
    whole, resampled = variances
    factor = stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975)
    factor *= (whole / resampled) ** 0.5
    return [observed + factor * (mean - observed) for mean in means]


def test_over_tries_enumerates_pairs():
    a, b = np.array([1.0, 4.0, 2.5]), np.array([0.5, 1.0, 3.0])
    found = over_tries(a, b, paired=True)
    means = [statistics.fmean(c) for c in itertools.product(a - b, repeat=3)]
    assert found is not None and len(means) == 27
    assert found.difference == pytest.approx(1.0)
    variances = statistics.variance(a - b), statistics.pvariance(a - b)
    means = widened(1.0, means, 2, variances)
    assert (found.low, found.high) == pytest.approx(
        tuple(np.quantile(means, [0.025, 0.975]))
    )
    below = sum(mean <= 1e-9 for mean in means)
    assert found.p == pytest.approx(min(1, 2 * (1 + below) / 28))


def test_over_tries_of_unpaired_tries():
    stats = pytest.importorskip("scipy.stats")
    a, b = np.array([1.0, 3.0]), np.array([0.0, 1.0, 2.0])
    found = over_tries(a, b, paired=False)
    means = [
        statistics.fmean(x) - statistics.fmean(y)
        for x in itertools.product(a, repeat=2)
        for y in itertools.product(b, repeat=3)
    ]
    assert found is not None
    assert found.difference == pytest.approx(1.0)
    freedom = stats.ttest_ind(a, b, equal_var=False).df
    whole = statistics.variance(a) / 2 + statistics.variance(b) / 3
    resampled = statistics.pvariance(a) / 2 + statistics.pvariance(b) / 3
    means = widened(1.0, means, freedom, (whole, resampled))
    assert found.low == pytest.approx(np.quantile(means, 0.025))
    assert found.high == pytest.approx(np.quantile(means, 0.975))
    below = sum(mean <= 1e-9 for mean in means)
    assert found.p == pytest.approx(min(1, 2 * (1 + below) / (1 + len(means))))


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("tries", [2, 3, 5])
def test_intervals_over_few_tries_hold_the_true_difference(tries, paired):
    """Of 95 % intervals, some 95 in 100 do; 68 of three tries if not widened."""
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


def test_three_tries_are_never_significant():
    found = over_tries(np.array([9.0, 9.1, 9.2]), np.zeros(3), paired=True)
    assert found is not None and found.p == pytest.approx(2 / 28)


def test_one_try_has_no_interval():
    assert over_tries(np.array([1.0]), np.array([1.0, 2.0]), paired=False) is None


def test_many_tries_are_resampled():
    random = np.random.default_rng(0)
    a, b = random.normal(1, 1, 40), random.normal(0, 1, 40)
    found = over_tries(a, b, paired=False)
    assert found is not None
    error = np.sqrt(a.var() / 40 + b.var() / 40)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.05)
