"""Embeddings of many museums against museums embedded one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hm3_jax.learn.batches.placement import OnDevice
from hm3_jax.learn.batches.plan import EMPTY
from hm3_jax.learn.evaluation.embed import embed, plan_embedding
from hm3_jax.learn.evaluation.split import EMBED_BATCH
from hm3_jax.learn.model import ModelSpec, draw_params
from tests.learn import small

# A split's own order is the easy case.
MUSEUMS = np.random.default_rng(0).permutation(small.MUSEUMS)[:14]


@pytest.fixture(scope="module")
def params():
    return draw_params(small.BY_ROOM, jax.random.split(jax.random.key(1), 2))


LAYOUT = small.one_device(2)


@pytest.fixture(scope="module")
def source(features):
    return OnDevice(features, LAYOUT)


@pytest.fixture(scope="module")
def embedded(source, counts, params):
    def embedded(museums, batch_size, active=(True, True)):
        plan = plan_embedding(counts, museums, batch_size, source, LAYOUT)
        spec = ModelSpec(small.BY_ROOM)
        return jax.device_get(embed(params, jnp.array(active), plan, spec=spec))

    return embedded


@pytest.fixture(scope="module")
def one_by_one(embedded):
    return embedded(MUSEUMS, 1)


@pytest.mark.parametrize("batch_size", [4, EMBED_BATCH])
def test_any_batch_size_gives_the_same(embedded, one_by_one, batch_size):
    for found, wanted in zip(embedded(MUSEUMS, batch_size), one_by_one, strict=True):
        assert found.shape == (2, 14, 6)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def test_embeddings_come_in_the_order_asked_for(embedded, one_by_one):
    order = np.random.default_rng(1).permutation(14)
    for found, wanted in zip(
        embedded(MUSEUMS[order], EMBED_BATCH), one_by_one, strict=True
    ):
        np.testing.assert_allclose(found, wanted[:, order], rtol=0, atol=1e-6)
        # All museums differ, so that another order would be noticed.
        distance = np.abs(wanted[:, :, None] - wanted[:, None]).max(axis=-1)
        assert (distance + np.eye(14)).min() > 1e-4


def test_what_nobody_wants_is_not_computed(embedded, one_by_one):
    actives = ((True, False), (False, False))
    first, none = (embedded(MUSEUMS, 1, active) for active in actives)
    for found, skipped, wanted in zip(first, none, one_by_one, strict=True):
        np.testing.assert_array_equal(found[0], wanted[0])
        assert not skipped.any()


def test_batches_hold_museums_of_similar_length(store, counts, source):
    museums = np.arange(small.MUSEUMS)
    plan = plan_embedding(counts, museums, 5, source, LAYOUT)
    for tower, lengths in (
        (plan.text, store.sentences.lengths),
        (plan.scene, np.diff(store.room_offsets)),
    ):
        rows = np.asarray(tower.batches.museums).ravel()
        np.testing.assert_array_equal(rows[tower.place], museums)
        assert sorted(rows[rows != EMPTY]) == museums.tolist()
        assert (np.diff(lengths[rows[rows != EMPTY]]) >= 0).all()


def test_no_museum_is_refused(counts, source):
    with pytest.raises(ValueError, match="at least one museum to embed, found none"):
        plan_embedding(counts, np.array([], np.int64), 4, source, LAYOUT)
