"""Mixtures of items against the soft maximum, item by item."""

import math

import numpy as np
import pytest

from hm3_jax.retrieval.engine.mixtures import MIXTURES, mixtures, query_rows
from hm3_jax.retrieval.exact import unit

SHARPNESS, BIAS = 15.0, -0.125


def soft(cosines: list[float]) -> float:
    return math.log(math.fsum(math.exp(SHARPNESS * c) for c in cosines)) / SHARPNESS


def test_a_mixture_is_what_it_says():
    items = unit(np.random.default_rng(0).standard_normal((5, 8)))
    rows = mixtures(items.astype(np.float16), BIAS, SHARPNESS)
    items = items.astype(np.float16).astype(float)
    assert rows.shape == (MIXTURES * 5, 9)
    for i in range(5):
        near = [math.exp(0.2 * SHARPNESS * (items[i] @ other)) for other in items]
        shares = [one / sum(near) for one in near]
        mixed = np.sum(
            [s * other for s, other in zip(shares, items, strict=True)], axis=0
        )
        entropy = -sum(share * math.log(share) for share in shares)
        np.testing.assert_allclose(rows[i], [*items[i], BIAS], rtol=1e-6)
        np.testing.assert_allclose(
            rows[5 + i], [*mixed, entropy / SHARPNESS + BIAS], rtol=1e-5, atol=1e-7
        )


def test_the_best_mixture_is_between_the_best_item_and_the_soft_maximum():
    rng = np.random.default_rng(1)
    for count in (1, 2, 30):
        items = unit(rng.standard_normal((count, 16)) + 0.5).astype(np.float16)
        rows = mixtures(items, BIAS, SHARPNESS)
        queries = unit(rng.standard_normal((40, 16)) + 0.5)
        best = (query_rows(queries, np.ones(40, np.float32)) @ rows.T).max(
            axis=1
        ) - BIAS
        for query, found in zip(queries, best, strict=True):
            cosines = [
                float(query.astype(float) @ item) for item in items.astype(float)
            ]
            assert max(cosines) - 1e-6 <= found <= soft(cosines) + 1e-6


def test_it_is_nearer_where_many_items_are_alike():
    rng = np.random.default_rng(2)
    # Twenty of a kind: the soft maximum is log(20) / sharpness above each.
    items = unit(np.ones(16) + 0.1 * rng.standard_normal((20, 16)))
    (found,) = (
        query_rows(unit(np.ones((1, 16))), np.ones(1, np.float32))
        @ mixtures(items.astype(np.float16), 0.0, SHARPNESS).T
    ).max(axis=1)[None]
    wanted = soft([float(item.sum() / 4) for item in items])
    assert wanted - items.sum(axis=1).max() / 4 > 0.18
    assert 0 <= wanted - found[0] < 0.01


def test_large_museums_get_what_qdrant_takes(monkeypatch):
    items = unit(np.random.default_rng(3).standard_normal((30, 16))).astype(np.float16)
    monkeypatch.setattr("hm3_jax.retrieval.engine.mixtures._MOST_NUMBERS", 30 * 17)
    rows = mixtures(items, BIAS, SHARPNESS)
    np.testing.assert_array_equal(rows[:, :16], items.astype(np.float32))
    assert rows.shape == (30, 17)
    monkeypatch.setattr("hm3_jax.retrieval.engine.mixtures._MOST_NUMBERS", 30 * 17 - 1)
    with pytest.raises(ValueError, match="at most 29 items in a museum, .* found 30"):
        mixtures(items, BIAS, SHARPNESS)
