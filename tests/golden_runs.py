"""The golden losses and trainings, by this package."""

import functools
import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hm3_jax.interop.torch_weights import from_torch, to_torch
from hm3_jax.learn.devices.mesh import BY_RUN, Layout
from hm3_jax.learn.model import ModelSpec, stack, take_run
from hm3_jax.learn.training.epoch import EpochInputs, fresh_state, train_epoch
from hm3_jax.learn.training.optimizer import Rates
from hm3_jax.objective.triplet import TripletLoss, TripletWeights
from tests import golden_data

TRAININGS = [
    (stem, loss)
    for stem in ("rnn_meanPoolProc", "hier_by_room_rnn_meanPoolProc_video")
    for loss in ("stl", "theme")
]
"""Strategy and loss of the golden trainings."""

LOSSES = json.loads((golden_data.GOLDEN / "loss.json").read_text())
"""Settings of the golden losses."""


def golden_params(
    stem: str, prefix: str = "param/", file: str | None = None
) -> Mapping[str, Any]:
    """Parameters of a golden file, the strategy's own unless another is named."""
    state = {
        name.removeprefix(prefix): array
        for name, array in golden_data.arrays(file or stem).items()
        if name.startswith(prefix)
    }
    return from_torch(state, golden_data.strategy(stem))


def trained(stem: str, loss: str) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Losses of all steps of a golden training, and the release's parameters after it.

    Args:
        stem: of the strategy.
        loss: "stl" or "theme".
    """
    file = f"train_{stem}_{loss}"
    config, themes = golden_data.strategy(stem), loss == "theme"
    order = golden_data.arrays(file)["order"].astype(np.int32)
    layout = Layout.of(1, jax.devices()[:1], vector=1)
    begun = fresh_state(stack([golden_params(stem, "init/", file)]))
    # Where an epoch leaves it, so that the second one is not compiled again.
    state = layout.put(jax.device_get(begun), BY_RUN)
    counts = golden_data.counts(config)
    planned = [counts.plan(batches[None], layout) for batches in order]
    losses = []
    for epoch, batches in enumerate(planned):
        rate = jnp.full(1, 5e-3 * 0.75 ** (epoch // 4), jnp.float32)
        inputs = EpochInputs(
            rates=Rates(rate, jnp.zeros(1, jnp.float32)),
            loss=TripletWeights(
                margin=jnp.full(1, 0.25, jnp.float32),
                within_theme_margin=jnp.full(1, 0.15, jnp.float32),
                second_component_weight=jnp.full(1, 0.05, jnp.float32),
            ),
            key=jax.random.key(0)[None],
            active=jnp.ones(1, bool),
        )
        state, of_epoch = train_epoch(
            state,
            inputs,
            batches,
            golden_data.features(config),
            spec=ModelSpec(config),
            capacity=counts.capacity(planned),
            loss=TripletLoss(uses_themes=themes, within_theme=themes),
            layout=layout,
        )
        losses.append(np.asarray(of_epoch.loss[0]))
    return np.concatenate(losses), to_torch(take_run(state.params, 0), config)


@functools.partial(jax.jit, static_argnames="config")
def value_and_gradient(similarity, themes, valid, config, weights, key=None):
    """Loss of a score matrix, and its gradient."""
    return jax.value_and_grad(lambda s: config(s, themes, valid, weights, key))(
        similarity
    )


def loss_settings(case: Mapping[str, Any]) -> tuple[TripletLoss, TripletWeights]:
    """Structure and numbers of a golden loss."""
    config = TripletLoss(
        uses_themes=case["uses_categories"],
        within_theme="within_category_margin" in case,
        filter_out_hard_negatives=case.get("filter_out_hard_negatives", False),
    )
    first, second = case.get("loss_components_weights", (0.5, 0.5))
    assert first == 1 - second
    weights = TripletWeights(
        margin=case.get("margin", 0.25),
        within_theme_margin=case.get("within_category_margin", 0.0),
        second_component_weight=second,
    )
    return config, weights


def loss_by_us(case: Mapping[str, Any]) -> tuple[jax.Array, jax.Array]:
    """Loss and gradient of a golden case."""
    arrays = golden_data.arrays("loss")
    similarity = jnp.asarray(arrays[f"sim{case['case']}"])
    themes = jnp.asarray(arrays[f"cat{case['case']}"], jnp.int32)
    valid = jnp.ones(len(themes), bool)
    return value_and_gradient(similarity, themes, valid, *loss_settings(case))
