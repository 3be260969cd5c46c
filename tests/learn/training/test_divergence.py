"""Training that diverges stops and says where."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.data.store import FeatureStore, open_store
from hm3_jax.learn.batches.plan import epoch_batches
from hm3_jax.learn.settings import Execution
from hm3_jax.learn.training.trainer import NonFiniteLossError
from tests.learn import small

EVERY_EPOCH = Execution(save_every_seconds=0)


def test_the_epoch_and_step_are_named(store, tmp_path):
    # The rate of epoch 3 is beyond anything; its first step is taken from sound
    # parameters.
    with pytest.raises(NonFiniteLossError) as raised:
        small.train(
            store, tmp_path / "run", execution=EVERY_EPOCH, scheduler_gamma=1e32
        )
    who = f"run/{small.BY_ROOM.file_stem}/try_1"
    wanted = f"{who}: loss became nan in epoch 3, step 2;"
    assert str(raised.value).startswith(wanted)
    assert "epoch 2 is saved in" in str(raised.value)
    folder = tmp_path / "run" / small.BY_ROOM.file_stem
    assert len(small.log(folder, 1)) == 2
    for attempt in (1, 2):
        saved = small.evaluated(folder / f"try_{attempt}", store, "val")
        assert (
            saved.tested.metrics == small.log(folder, attempt)[saved.epoch - 1]["val"]
        )


def test_it_is_said_if_nothing_was_saved(store, tmp_path):
    with pytest.raises(NonFiniteLossError, match="epoch 1, .*; no epoch was saved"):
        small.train(store, tmp_path / "run", lr=1e30)


def with_infinity(store: FeatureStore, folder: Path, museum: int) -> FeatureStore:
    """The store with infinity in the first view of a museum."""
    shutil.copytree(store.path, folder)
    views = np.load(folder / "views.npy", mmap_mode="r+")
    views[store.views.offsets[store.room_offsets[museum]]] = np.inf
    views.flush()
    return open_store(folder)


def test_features_that_are_not_finite_stop_the_run(store, tmp_path):
    museum = store.splits["train"][6]
    spoilt = with_infinity(store, tmp_path / "store", museum)
    steps = [
        int(np.argwhere(batches == museum)[0, 0])
        for batches in (
            epoch_batches(
                store.splits["train"], small.BATCH, seed=7, attempt=k, epoch=0
            )
            for k in (1, 2)
        )
    ]
    # Both diverge in the epoch; the first of them is named.
    assert max(steps) < 3
    wanted = f"/try_1: loss became nan in epoch 1, step {steps[0] + 1}; no epoch"
    with pytest.raises(NonFiniteLossError, match=wanted):
        small.train(spoilt, tmp_path / "run")


def test_so_do_embeddings_that_are_not(store, tmp_path):
    spoilt = with_infinity(store, tmp_path / "store", store.splits["val"][9])
    wanted = "split val: museums: .* found row 9 with NaN.* after epoch 1; no epoch"
    with pytest.raises(NonFiniteLossError, match=wanted):
        small.train(spoilt, tmp_path / "run")
