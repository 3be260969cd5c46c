"""The golden models, embedded with and trained: what is compared with the goldens."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hm3_jax.interop.torch_weights import from_torch, to_torch
from hm3_jax.learn.devices.mesh import Layout
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
    state = fresh_state(stack([golden_params(stem, "init/", file)]))
    layout = Layout.of(1, jax.devices()[:1], vector=1)
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
