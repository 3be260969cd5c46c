"""Models: initial parameters, and parameters with an axis of runs."""

import dataclasses

import jax
import numpy as np
import pytest

from hm3_jax.learn.model import Model, draw_params, stack_params, take_run
from tests.learn import small

KEYS = jax.random.split(jax.random.key(3), 2)


@pytest.fixture(scope="module")
def drawn():
    return draw_params(small.BY_ROOM, KEYS)


def test_runs_are_drawn_by_their_keys_alone(drawn):
    turned = draw_params(small.BY_ROOM, KEYS[::-1])
    for run in (0, 1):
        jax.tree.map(
            np.testing.assert_array_equal,
            take_run(drawn, run),
            take_run(turned, 1 - run),
        )
    for leaf in jax.tree.leaves(drawn):
        assert not np.isin(leaf[0], leaf[1]).any()


def test_parameters_are_drawn_as_torch_draws_them(drawn):
    # Uniform up to the root of the fan-in, or of the hidden size: nearly reached by
    # the largest of many, never passed.
    bounds = {
        "kernel_ih": ("text", 6),
        "kernel_hh": ("text", 6),
        "bias_hh": ("text", 6),
    }
    for name, (tower, fan_in) in bounds.items():
        values = np.abs(drawn[tower][name])
        assert 0.8 / fan_in**0.5 < values.max() <= fan_in**-0.5
    for kind, fan_in in (("views", 7), ("images", 6), ("videos", 5), ("out", 12)):
        values = np.abs(drawn["scene"]["room"][kind]["kernel"])
        assert 0.8 / fan_in**0.5 < values.max() <= fan_in**-0.5


def test_stacking_and_taking_are_inverse(drawn):
    runs = [take_run(drawn, run) for run in (0, 1)]
    stacked = stack_params(small.BY_ROOM, runs)
    jax.tree.map(np.testing.assert_array_equal, stacked, drawn)


def without(params):
    del params["scene"]["room"]["out"]["bias"]


def with_another(params):
    params["scene"]["room"]["sound"] = params["scene"]["room"]["views"]


def of_another_shape(params):
    params["text"]["bias_hh"] = params["text"]["bias_hh"][:, 1:]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (without, "scene.room.out.bias is expected of shape (4,), found missing"),
        (with_another, "scene.room.sound.bias is expected missing, found of shape (4,"),
        (of_another_shape, "text.bias_hh is expected of shape (2, 18), found of shape"),
    ],
)
def test_parameters_that_do_not_fit_are_named(drawn, change, wanted):
    params = take_run(drawn, 0)
    change(params)
    model = Model(small.BY_ROOM, params, None)
    with pytest.raises(ValueError) as raised:
        model.stacked()
    assert f"do not fit {small.BY_ROOM.name}: {wanted}" in str(raised.value)
    dataclasses.replace(model, params=take_run(drawn, 0)).stacked()
