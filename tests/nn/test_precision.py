"""How precisely encoders multiply, and that the goldens need it."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from hm3_jax.learn.batches.gather import descriptions, scenes
from hm3_jax.learn.batches.plan import packings
from hm3_jax.learn.devices.mesh import Layout
from hm3_jax.learn.model import ModelSpec
from hm3_jax.nn import convolution, layers, recurrence
from hm3_jax.nn.precision import multiplying
from tests import golden_data
from tests.golden_runs import golden_params

STEMS = ("hier_by_room_rnn_meanPoolProc_cnn1d_video", "rnn_rnn_lstm")
TF32_BITS = 10


def precisions(stem: str) -> set:
    """Precisions of all products of both towers and of their gradients."""
    config = golden_data.strategy(stem)
    counts, layout = golden_data.counts(config), Layout.of(1, jax.devices()[:1])
    museums = jnp.arange(12, dtype=jnp.int32)
    planned = counts.plan(np.asarray(museums)[None, None], layout)
    capacity, batch = counts.capacity([planned]), planned.local()
    sequence = None if batch.sequence is None else batch.sequence[0, 0]
    packing = packings(batch.sentences[0, 0], sequence, capacity)
    features = jax.device_put(golden_data.features(config))
    inputs = features, museums, packing, capacity

    def total(params):
        towers: Any = ModelSpec(config).towers(params)
        text = towers.embed_descriptions(descriptions(*inputs))
        return text.sum() + towers.embed_scenes(scenes(*inputs)).sum()

    jaxpr = jax.make_jaxpr(jax.grad(total))(golden_params(stem))
    return {
        equation.params["precision"]
        for equation in equations(jaxpr.jaxpr)
        if equation.primitive.name == "dot_general"
    }


def equations(jaxpr) -> Iterator:
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
        ):
            if hasattr(inner, "eqns"):
                yield from equations(getattr(inner, "jaxpr", inner))


@pytest.mark.parametrize("stem", STEMS)
def test_products_are_float32_unless_something_else_is_asked_for(stem):
    exact = lax.Precision.HIGHEST
    assert precisions(stem) == {(exact, exact)}
    with multiplying("default"):
        rough = precisions(stem)
    assert all(found in (None, (lax.Precision.DEFAULT,) * 2) for found in rough)


def test_tf32_would_not_give_the_published_embeddings(monkeypatch):
    def rounded(x, kernel):
        x, kernel = (lax.reduce_precision(a, 8, TF32_BITS) for a in (x, kernel))
        return x @ kernel

    for module in (layers, recurrence, convolution):
        monkeypatch.setattr(module, "multiplied", rounded)
    jax.clear_caches()
    for stem in STEMS:
        text, _ = golden_data.embeddings(
            golden_data.strategy(stem), golden_params(stem)
        )
        assert np.abs(text - golden_data.arrays(stem)["desc_out"]).max() > 1e-4
    jax.clear_caches()
