"""InfoNCE against scipy's cross-entropy of the valid part alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from hm3_jax.objective.info_nce import InfoNCE


def oracle(scores: np.ndarray, scale: float) -> float:
    logits = scale * scores.astype(np.float64)
    rows, columns = (np.diag(log_softmax(logits, axis=axis)) for axis in (1, 0))
    return -(rows.mean() + columns.mean()) / 2


@pytest.mark.parametrize("padding", [0.0, np.nan, np.inf])
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_value_and_gradients_are_those_of_the_museums_alone(
    padding: float, temperature: float
) -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(-1, 1, (7, 7)).astype(np.float32)
    valid = np.array([True, True, False, True, True, True, False])
    inside = np.ix_(valid, valid)
    scores[~(valid[:, None] & valid[None, :])] = padding
    loss = InfoNCE(temperature=temperature)

    def value(scores, params):
        themes = jnp.zeros(7, jnp.int32)
        return loss(scores, themes, jnp.asarray(valid), None, None, params)

    found, (by_score, by_params) = jax.value_and_grad(value, argnums=(0, 1))(
        jnp.asarray(scores), loss.parameters()
    )
    np.testing.assert_allclose(found, oracle(scores[inside], 1 / temperature), 1e-5)
    assert not np.asarray(by_score)[~(valid[:, None] & valid[None, :])].any()
    step = 1e-4
    slope = [
        (
            oracle(scores[inside], np.exp(np.log(1 / temperature) + step))
            - oracle(scores[inside], np.exp(np.log(1 / temperature) - step))
        )
        / (2 * step)
    ]
    np.testing.assert_allclose(by_params["log_scale"], slope[0], rtol=1e-3, atol=1e-5)


def test_a_batch_without_museums_has_loss_zero() -> None:
    nothing = jnp.zeros(3, bool)
    assert InfoNCE()(jnp.full((3, 3), jnp.nan), jnp.arange(3), nothing) == 0


def test_the_scale_stops_at_a_hundred() -> None:
    two = jnp.ones(2, bool)
    scores = jnp.array([[0.5, 0.49], [0.49, 0.5]])
    found = InfoNCE()(scores, jnp.arange(2), two, params={"log_scale": jnp.float32(9)})
    np.testing.assert_allclose(found, oracle(np.asarray(scores), 100.0), rtol=1e-4)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_is_a_positive_number(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature: expected more than 0"):
        InfoNCE(temperature=temperature)
