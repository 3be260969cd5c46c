"""Embeddings and trainings equal to those of the published system."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hm3_jax.interop.torch_weights import from_torch, to_torch
from hm3_jax.learn.model import ModelSpec, stack, take_run
from hm3_jax.learn.training.epoch import EpochInputs, fresh_state, train_epoch
from hm3_jax.objective.triplet import TripletLoss, TripletWeights
from tests import golden_data
from tests.learn import small

CONVOLUTIONS = [name for name in golden_data.STRATEGIES if "cnn1d" in name]
TRAININGS = ["rnn_meanPoolProc", "hier_by_room_rnn_meanPoolProc_video"]


def golden_params(stem: str, prefix: str, file: str | None = None):
    arrays = golden_data.arrays(file or stem)
    state = {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
    return from_torch(state, golden_data.strategy(stem))


def embeddings(stem: str, masking, batch_size: int, padding: float = np.nan):
    config = golden_data.strategy(stem)
    params = golden_params(stem, "param/")
    return golden_data.embeddings(config, params, masking, batch_size, padding)


def test_there_are_29_strategies():
    assert len(golden_data.STRATEGIES) == 29


# Batches of 5 put every museum among other batch-mates and leave places free.
@pytest.mark.parametrize("batch_size", [12, 5])
@pytest.mark.parametrize("stem", golden_data.STRATEGIES)
def test_embeddings(stem, batch_size):
    golden = golden_data.arrays(stem)
    text, scene = embeddings(stem, "time", batch_size)
    wanted = golden.get("scene_out_time_mask", golden["scene_out"])
    np.testing.assert_allclose(text, golden["desc_out"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(scene, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("stem", CONVOLUTIONS)
def test_embeddings_with_the_published_masking(stem):
    golden = golden_data.arrays(stem)
    _, scene = embeddings(stem, "channels", 12)
    np.testing.assert_allclose(scene, golden["scene_out"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("loss", ["stl", "theme"])
@pytest.mark.parametrize("stem", TRAININGS)
def test_training(stem, loss):
    file = f"train_{stem}_{loss}"
    golden = golden_data.arrays(file)
    config = golden_data.strategy(stem)
    order = golden["order"].astype(np.int32)
    state = fresh_state(stack([golden_params(stem, "init/", file)]))
    themes = loss == "theme"
    layout, counts = small.one_device(1), golden_data.counts(config)
    planned = [counts.plan(batches[None], layout) for batches in order]
    losses = []
    for epoch, batches in enumerate(planned):
        hyper = EpochInputs(
            rates=small.rates(5e-3 * 0.75 ** (epoch // 4)),
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
            hyper,
            batches,
            golden_data.features(config),
            spec=ModelSpec(config),
            capacity=counts.capacity(planned),
            loss=TripletLoss(uses_themes=themes, within_theme=themes),
            layout=layout,
        )
        losses.append(np.asarray(of_epoch.loss[0]))
    # Once the loss is zero it must be zero here too.
    np.testing.assert_allclose(
        np.concatenate(losses), golden["losses"], rtol=1e-4, atol=1e-7
    )
    final = to_torch(take_run(state.params, 0), config)
    for name, array in final.items():
        np.testing.assert_allclose(array, golden[f"final/{name}"], rtol=0, atol=1e-4)
