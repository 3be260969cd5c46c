"""Embeddings of many museums against museums embedded one by one."""

import jax
import numpy as np
import pytest

from hm3_jax.learn.embed import embed, plan_embedding
from hm3_jax.learn.evaluation import EMBED_BATCH
from hm3_jax.learn.model import draw_params, graph_of
from hm3_jax.learn.order import EMPTY
from tests.learn import small

# A split's own order is the easy case.
MUSEUMS = np.random.default_rng(0).permutation(small.MUSEUMS)[:14]


@pytest.fixture(scope="module")
def params():
    return draw_params(small.BY_ROOM, "time", jax.random.split(jax.random.key(1), 2))


@pytest.fixture(scope="module")
def embedded(features, counts, params):
    def embedded(museums, batch_size):
        plan = plan_embedding(counts, museums, batch_size)
        graph = graph_of(small.BY_ROOM, "time")
        return jax.device_get(embed(params, features, plan, graph=graph))

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


def test_batches_hold_museums_of_similar_length(store, counts):
    museums = np.arange(small.MUSEUMS)
    plan = plan_embedding(counts, museums, 5)
    for batches, place, lengths in (
        (plan.text, plan.text_place, store.sentences.lengths),
        (plan.scene, plan.scene_place, np.diff(store.room_offsets)),
    ):
        rows = np.asarray(batches).ravel()
        np.testing.assert_array_equal(rows[np.asarray(place)], museums)
        assert sorted(rows[rows != EMPTY]) == museums.tolist()
        assert (np.diff(lengths[rows[rows != EMPTY]]) >= 0).all()


def test_no_museum_is_refused(counts):
    with pytest.raises(ValueError, match="at least one museum to embed, found none"):
        plan_embedding(counts, np.array([], np.int64), 4)
