"""Which museums each batch holds."""

import numpy as np
import pytest

from hm3_jax.learn.batches.plan import EMPTY, epoch_batches, in_batches

MUSEUMS = np.arange(100, 123)


def batches(seed: int = 3, attempt: int = 1, epoch: int = 0) -> np.ndarray:
    return epoch_batches(MUSEUMS, 5, seed=seed, attempt=attempt, epoch=epoch)


def test_the_order_is_pure_in_seed_try_and_epoch():
    again = batches(seed=3, attempt=2, epoch=7)
    np.random.default_rng(0).random()
    np.testing.assert_array_equal(batches(seed=3, attempt=2, epoch=7), again)


def test_every_museum_is_in_an_epoch_exactly_once():
    for epoch in range(4):
        of_epoch = batches(epoch=epoch)
        assert of_epoch.shape == (5, 5)
        assert of_epoch.dtype == np.int32
        assert sorted(of_epoch[of_epoch != EMPTY]) == MUSEUMS.tolist()


def test_only_the_end_of_the_last_batch_is_empty():
    of_epoch = batches()
    np.testing.assert_array_equal(of_epoch[-1] == EMPTY, [False] * 3 + [True] * 2)
    assert (of_epoch[:-1] != EMPTY).all()


def test_seeds_tries_and_epochs_have_orders_of_their_own():
    orders = {
        tuple(batches(seed=seed, attempt=attempt, epoch=epoch).ravel())
        for seed in (0, 1, 2**32 - 1)
        for attempt in (1, 2, 3)
        for epoch in range(5)
    }
    assert len(orders) == 3 * 3 * 5


def test_a_shuffle_moves_museums_anywhere():
    first = [batches(epoch=epoch)[0, 0] for epoch in range(400)]
    # Each of 23 museums is first in about 17 of 400 epochs.
    assert np.bincount(np.array(first) - 100, minlength=23).min() >= 4


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        (2, [[5, 9], [7, 1], [3, EMPTY]]),
        (5, [[5, 9, 7, 1, 3]]),
        (7, [[5, 9, 7, 1, 3, EMPTY, EMPTY]]),
        (1, [[5], [9], [7], [1], [3]]),
    ],
)
def test_batches_keep_the_order(size, wanted):
    np.testing.assert_array_equal(in_batches(np.array([5, 9, 7, 1, 3]), size), wanted)
