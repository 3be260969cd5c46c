"""Cosine similarity against float64, and its gradient where rows are degenerate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hm3_jax.objective.similarity import CosineScores, unit_vectors

cosine_similarity = CosineScores()


def test_cosine_agrees_with_float64() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 9, 17)) * rng.uniform(0.01, 100, size=(2, 9, 1))
    lengths = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None, :]
    actual = cosine_similarity(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32))
    assert actual.dtype == jnp.float32
    np.testing.assert_allclose(actual, a @ b.T / lengths, atol=3e-7)


def test_zero_vectors_have_similarity_zero_and_a_finite_gradient() -> None:
    zeros, ones = jnp.zeros((2, 3)), jnp.ones((2, 3))
    assert not np.asarray(cosine_similarity(zeros, ones)).any()
    assert not np.asarray(unit_vectors(zeros)).any()
    for a, b in ((zeros, ones), (ones, zeros), (zeros, zeros)):
        for gradient in jax.grad(
            lambda x, y: cosine_similarity(x, y).sum(), argnums=(0, 1)
        )(a, b):
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize("padding", [np.nan, np.inf, 1e30])
def test_padding_reaches_neither_values_nor_gradient(padding: float) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 5, 4)).astype(np.float32)
    valid = np.array([True, False, True, True, False])
    clean = np.ix_(valid, valid)

    def value(x, y, valid=None):
        s = cosine_similarity(x, y, valid)
        return jnp.sum(jnp.tanh(s) * 3), s

    dirty_a, dirty_b = a.copy(), b.copy()
    dirty_a[~valid], dirty_b[~valid] = padding, padding
    (_, s), gradients = jax.value_and_grad(value, argnums=(0, 1), has_aux=True)(
        jnp.asarray(dirty_a), jnp.asarray(dirty_b), jnp.asarray(valid)
    )
    (_, expected), expected_gradients = jax.value_and_grad(
        value, argnums=(0, 1), has_aux=True
    )(jnp.asarray(a[valid]), jnp.asarray(b[valid]))
    np.testing.assert_allclose(np.asarray(s)[clean], expected, atol=1e-7)
    for actual, wanted in zip(gradients, expected_gradients, strict=True):
        assert not np.asarray(actual)[~valid].any()
        np.testing.assert_allclose(np.asarray(actual)[valid], wanted, atol=1e-6)


@pytest.mark.usefixtures("shapes_are_not_checked")
def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(3, 3\)"):
        cosine_similarity(jnp.ones((2, 3)), jnp.ones((3, 3)))
