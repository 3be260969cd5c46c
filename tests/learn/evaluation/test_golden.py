"""Embeddings and trainings equal to those of the published system."""

import numpy as np
import pytest

from hm3_jax.nn import packing
from tests import golden_data
from tests.golden_runs import TRAININGS, golden_params, trained

CONVOLUTIONS = [name for name in golden_data.STRATEGIES if "cnn1d" in name]


def embeddings(stem: str, masking, batch_size: int, padding: float = np.nan):
    config = golden_data.strategy(stem)
    params = golden_params(stem)
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


@pytest.mark.parametrize(("stem", "loss"), TRAININGS)
def test_training(stem, loss):
    same_training(stem, loss)


@pytest.mark.thorough
def test_training_with_loops_of_static_length(monkeypatch):
    monkeypatch.setitem(packing.UNROLLED, "cpu", 2)
    same_training(*TRAININGS[-1])


def same_training(stem: str, loss: str) -> None:
    golden = golden_data.arrays(f"train_{stem}_{loss}")
    losses, final = trained(stem, loss)
    # Once the loss is zero it must be zero here too.
    np.testing.assert_allclose(losses, golden["losses"], rtol=1e-4, atol=1e-7)
    for name, array in final.items():
        np.testing.assert_allclose(array, golden[f"final/{name}"], rtol=0, atol=1e-4)
