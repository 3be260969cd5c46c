"""The map of a collection."""

import numpy as np
import pytest

from hm3_jax.retrieval import projection
from hm3_jax.retrieval.exact import unit
from hm3_jax.retrieval.projection import project


@pytest.fixture(scope="module")
def collection():
    """Three themes in three directions of 16, and noise in all of them."""
    rng = np.random.default_rng(0)
    themes = rng.integers(3, size=300)
    directions = np.linalg.qr(rng.standard_normal((16, 3)))[0].T
    return unit(directions[themes] + 0.1 * rng.standard_normal((300, 16))), themes


def test_themes_lie_apart(collection):
    places = project(*collection)
    by_theme = [places[collection[1] == theme] for theme in range(3)]
    means = [of_theme.mean(axis=0) for of_theme in by_theme]
    spread = max(of_theme.std(axis=0).max() for of_theme in by_theme)
    apart = [np.linalg.norm(means[i] - means[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(apart) > 2 * spread
    assert places.dtype == np.float32 and np.abs(places).max() == 1


def test_two_themes_are_placed_by_all_vectors(collection):
    vectors, _ = collection
    places = project(vectors, np.zeros(300, int))
    centred = vectors - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred.astype(float), full_matrices=False)
    wanted = left[:, :2] * sizes[:2]
    wanted /= np.abs(wanted).max()
    np.testing.assert_allclose(np.abs(places), np.abs(wanted), rtol=0, atol=1e-4)


def test_chunks_change_nothing_but_rounding(collection, monkeypatch):
    whole = project(*collection)
    monkeypatch.setattr(projection, "_CHUNK", 7)
    np.testing.assert_allclose(project(*collection), whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("museums", [1, 2])
def test_few_museums_have_places(museums):
    places = project(np.eye(museums, 5, dtype=np.float32), np.arange(museums))
    assert places.shape == (museums, 2) and np.isfinite(places).all()
