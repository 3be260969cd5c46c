"""What eight devices compute, for test_devices: python -m tests.learn.eight_devices.

A process of its own, because the number of (simulated) devices is fixed when JAX
starts. Comparisons are left to the tests.
"""

import dataclasses
import pickle
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hm3_jax.data.store import FeatureStore, open_store
from hm3_jax.learn.batches import placement
from hm3_jax.learn.batches.features import load_features
from hm3_jax.learn.batches.plan import MuseumSizes, epoch_batches
from hm3_jax.learn.devices.mesh import BY_DEVICE, BY_RUN, EVERYWHERE, Layout
from hm3_jax.learn.model import ModelSpec, draw_params
from hm3_jax.learn.settings import Execution
from hm3_jax.learn.training.epoch import EpochInputs, fresh_state, train_epoch
from hm3_jax.nn.strategy import TowersConfig
from hm3_jax.objective.triplet import TripletLoss, TripletWeights
from tests.learn import small

BATCH = 13  # in shares of two: the last device gets a single museum
EPOCHS = 5  # of four steps, the last with three museums
LOSSES = {
    "by_room": (small.BY_ROOM, TripletLoss(uses_themes=True, within_theme=True)),
    "flat_cnn": (
        small.CONVOLUTION,
        TripletLoss(uses_themes=True, new_positive_samples=2),
    ),
}


def take_20_steps(
    store: FeatureStore, config: TowersConfig, loss: TripletLoss, devices: int
) -> tuple[Any, np.ndarray, np.ndarray]:
    """Trains one run on all museums, each batch split over the devices.

    Returns:
        Parameters, losses and gradient norms (steps,).
    """
    layout = Layout.of(1, jax.devices()[:devices])
    assert layout.data_devices == devices
    features = load_features(store, config)
    counts = MuseumSizes.of(features)
    planned = [
        counts.plan(
            epoch_batches(
                np.arange(small.MUSEUMS), BATCH, seed=3, attempt=1, epoch=epoch
            )[None],
            layout,
        )
        for epoch in range(EPOCHS)
    ]
    keys = jax.random.split(jax.random.key(0), 1)
    params = jax.device_get(draw_params(config, keys))
    state = fresh_state(layout.put(params, BY_RUN))
    placed = layout.put(features, EVERYWHERE)
    losses, norms = [], []
    for epoch, batches in enumerate(planned):
        hyper = EpochInputs(
            rates=small.rates(0.01),
            loss=TripletWeights(
                margin=jnp.full(1, 0.25, jnp.float32),
                within_theme_margin=jnp.full(1, 0.15, jnp.float32),
                second_component_weight=jnp.full(1, 0.4, jnp.float32),
            ),
            key=jax.random.split(jax.random.key(epoch), 1),
            active=jnp.ones(1, bool),
        )
        state, of_epoch = train_epoch(
            state,
            hyper,
            layout.put(batches, BY_DEVICE),
            placed,
            spec=ModelSpec(config),
            capacity=counts.capacity(planned),
            loss=loss,
            layout=layout,
        )
        losses.append(np.asarray(layout.fetch(of_epoch.loss))[0])
        norms.append(np.asarray(layout.fetch(of_epoch.gradient_norm))[0])
    params = jax.tree.map(lambda x: np.asarray(x[0]), layout.fetch(state.params))
    return params, np.concatenate(losses), np.concatenate(norms)


def train(
    store: FeatureStore, folder: Path, execution: Execution, **changes: Any
) -> Path:
    """A short training of several runs."""
    return small.train(
        store,
        folder,
        small.FLAT,
        execution=execution,
        epochs=2,
        scheduler_gamma=1.0,
        partial_descriptions=0.5,
        **changes,
    )


def main(store: FeatureStore, to: Path) -> None:
    """Computes everything with eight devices."""
    assert jax.device_count() == 8
    steps = {
        name: take_20_steps(store, config, loss, devices=8)
        for name, (config, loss) in LOSSES.items()
    }
    (to / "steps.pickle").write_bytes(pickle.dumps(steps))
    execution = Execution(data_placement="device")
    train(store, to / "spread", execution, number_of_tries=8)
    one = dataclasses.replace(execution, num_devices=1)
    train(store, to / "one", one, number_of_tries=8)
    train(store, to / "mixed", execution, number_of_tries=3)
    placement._BLOCK_BYTES = 1  # every step is a block
    fed = dataclasses.replace(execution, data_placement="host")
    train(store, to / "fed", fed, number_of_tries=3)


if __name__ == "__main__":
    main(open_store(sys.argv[1]), Path(sys.argv[2]))
