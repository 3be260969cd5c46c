"""How sure the difference of two runs is: over queries, and over tries.

References:
    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 16.
    Sakai, Evaluating evaluation metrics based on the bootstrap (SIGIR 2006).
"""

import dataclasses
import functools
import math
import warnings
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from scipy import stats

RESAMPLES = 10_000
LEVEL = 0.95
# Percent, or ranks, by which equal scores in float32 may differ.
_ROUNDING = 1e-6
# Resamples drawn at a time: 1,000 of 2,000 queries are 16 MB.
_CHUNK = 1_000


@dataclasses.dataclass(frozen=True, slots=True)
class Interval:
    """A difference of means, and how sure it is.

    Equal values say nothing about how others would spread: of these there is neither
    interval nor p.

    Attributes:
        difference: as observed.
        low: lower end of the 95 % interval; NaN without a spread.
        high: upper end; NaN without a spread.
        p: two-sided; NaN without a spread.
    """

    difference: float
    low: float
    high: float
    p: float

    @property
    def significant(self) -> bool:
        """Whether there is a p, and it is below 0.05."""
        return self.p < 1 - LEVEL


def over_queries(
    differences: Float[np.ndarray, "queries columns"],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Interval]:
    """Resamples queries; every column sees the same resamples.

    Args:
        differences: of each query's scores (mean over tries), A minus B.
        resamples: how many.
        seed: of the resampling.

    Returns:
        A percentile interval of the mean for each column; p is twice the share of
        resamples on the other side of 0, counting one more, at most 1. Without
        interval and p where all queries differ by the same.
    """
    values = np.asarray(differences, np.float64)
    # In float32, as the scores are: twice as fast, and the error of a mean is 1e-6.
    fast = values.astype(np.float32)
    times = _times_drawn(len(values), resamples, seed)
    means = [
        times[start : start + _CHUNK].astype(np.float32) @ fast / len(values)
        for start in range(0, resamples, _CHUNK)
    ]
    resampled = np.concatenate(means)
    return [
        _interval(float(column.mean()), means_of_column)
        if _differ(column)
        else _without_spread(float(column.mean()))
        for column, means_of_column in zip(values.T, resampled.T, strict=True)
    ]


def over_tries(
    a: Float[np.ndarray, " tries_a"], b: Float[np.ndarray, " tries_b"], *, paired: bool
) -> Interval | None:
    """Student's t over tries: whether models trained again would differ.

    Args:
        a: a metric of every try of A.
        b: the same of B.
        paired: try k of A and try k of B belong together (the same order of batches);
            otherwise variances are pooled as Welch (1947) does.

    Returns:
        An interval of mean A minus mean B, without its ends and p where there is no
        spread; None where a run has fewer than two tries.
    """
    if len(a) < 2 or len(b) < 2:
        return None
    observed = float(np.mean(a) - np.mean(b))
    compared = (a - b,) if paired else (a, b)
    if not any(map(_differ, compared)):
        return _without_spread(observed)
    with warnings.catch_warnings():
        # The tries of one side may be equal: what is lost of their variance is nothing.
        warnings.simplefilter("ignore", RuntimeWarning)
        found: Any = (
            stats.ttest_1samp(a - b, 0)
            if paired
            else stats.ttest_ind(a, b, equal_var=False)
        )
    low, high = map(float, found.confidence_interval(LEVEL))
    return Interval(observed, low, high, float(found.pvalue))


def _differ(values: Float[np.ndarray, " n"]) -> bool:
    return bool(np.ptp(values) > _ROUNDING)


def _without_spread(observed: float) -> Interval:
    return Interval(observed, math.nan, math.nan, math.nan)


@functools.lru_cache(maxsize=2)
def _times_drawn(
    count: int, resamples: int, seed: int
) -> UInt8[np.ndarray, "resamples count"]:
    """How often each query is in each resample: drawn once for all comparisons."""
    generator = np.random.default_rng(seed)
    times = np.empty((resamples, count), np.uint8)
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        drawn = generator.integers(0, count, (size, count))
        drawn += count * np.arange(size)[:, None]
        # More than 255 times one of many queries does not happen in this universe.
        times[start : start + size] = np.bincount(
            drawn.ravel(), minlength=size * count
        ).reshape(size, count)
    return times


def _interval(observed: float, resampled: np.ndarray) -> Interval:
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # A difference of exactly 0 may come out as a rounding error.
    slack = 1e-6 * max(1e-3, float(np.abs(resampled).max()))
    other = min(np.sum(resampled <= slack), np.sum(resampled >= -slack))
    p = min(1.0, 2 * (1 + int(other)) / (1 + len(resampled)))
    return Interval(observed, float(low), float(high), p)
