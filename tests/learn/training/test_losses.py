"""Losses with parameters, weight decay and schedules, through whole trainings."""

import dataclasses

import jax
import numpy as np
import optax
import pytest

from hm3_jax.learn.model import draw_params
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.settings import Execution, TrainSettings
from hm3_jax.learn.training.optimizer import Optimizer, Rates
from tests.learn import small

SETTINGS = TrainSettings(
    loss="info_nce",
    temperature=0.2,
    weight_decay=0.1,
    scheduler="cosine",
    seed=7,
    batch_size=small.BATCH,
    epochs=3,
    lr=0.01,
    number_of_tries=2,
    save_strategy="best",
    best_strategy="t2s-r1",
)
# `small.train` begins with other settings.
CHANGES = dataclasses.asdict(SETTINGS)


@pytest.mark.thorough
def test_a_temperature_is_trained_saved_and_gone_on_with(store, tmp_path):
    whole = small.train(store, tmp_path / "whole", **CHANGES)
    saved = checkpoint.load_model(whole / "try_1")
    (scale,) = saved.loss.values()
    assert abs(float(scale) - np.log(1 / 0.2)) > 1e-3
    assert saved.model.params.keys() == {"text", "scene"}
    losses = [line["train_loss"] for line in small.log(whole, 1)]
    assert losses[-1] < losses[0]
    rates = [line["lr"] for line in small.log(whole, 1)]
    np.testing.assert_allclose(rates, [0.01, 0.0075, 0.0025])
    every = Execution(save_every_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        small.train(
            store,
            tmp_path / "cut",
            **CHANGES,
            listener=small.interrupt_after(2),
            execution=every,
        )
    cut = small.train(store, tmp_path / "cut", **CHANGES, resume=True)
    assert small.results(cut) == small.results(whole)
    again = checkpoint.load_model(cut / "try_1")
    jax.tree.map(np.testing.assert_array_equal, again.loss, saved.loss)
    jax.tree.map(np.testing.assert_array_equal, again.model.params, saved.model.params)


def test_steps_are_those_of_optax_with_decay_of_weights_alone():
    params = jax.tree.map(
        lambda x: x[0], draw_params(small.FLAT, jax.random.key(0)[None])
    )
    grads = jax.tree.map(lambda x: 0.1 * x + 0.01, params)
    oracle = optax.adamw(
        0.02, weight_decay=0.3, mask=jax.tree.map(lambda x: x.ndim > 1, params)
    )
    with jax.numpy_dtype_promotion("standard"):
        state = oracle.init(params)
        wanted = params
        for _ in range(3):
            updates, state = oracle.update(grads, state, wanted)
            wanted = optax.apply_updates(wanted, updates)
    optimizer = Optimizer(decays_weights=True)
    found, moments = params, optimizer.init(params)
    for _ in range(3):
        rates = Rates(np.float32(0.02), np.float32(0.3))
        found, moments = optimizer.step(found, grads, moments, rates)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6), found, wanted
    )


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"temperature": 0.1}, "temperature has no effect with loss triplet"),
        (
            {"loss": "info_nce", "use_categories_in_loss": True},
            "use_categories_in_loss has no effect with loss info_nce",
        ),
        ({"loss": "hinge"}, "loss: expected one of triplet, info_nce, found hinge"),
        ({"weight_decay": -0.1}, "weight_decay: expected at least 0, found -0.1"),
        (
            {"loss": "info_nce", "temperature": 0.0},
            "temperature: expected more than 0, found 0.0",
        ),
    ],
)
def test_settings_of_another_loss_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        TrainSettings(**settings)
