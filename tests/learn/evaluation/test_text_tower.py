"""Descriptions embedded as queries are, against those embedded as a split."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hm3_jax.learn.batches.placement import OnDevice
from hm3_jax.learn.evaluation import text_tower
from hm3_jax.learn.evaluation.embed import embed, plan_embedding
from hm3_jax.learn.evaluation.text_tower import QueryTower
from hm3_jax.learn.model import ModelSpec, draw_params, take_run
from tests.learn import small

LAYOUT = small.one_device(1)


@pytest.fixture(scope="module")
def params():
    return draw_params(small.BY_ROOM, jax.random.split(jax.random.key(1), 1))


@pytest.fixture(scope="module")
def tower(params):
    return QueryTower(small.BY_ROOM.text, take_run(params, 0)["text"])


@pytest.fixture(scope="module")
def described(store):
    """Sentence features of every museum, of different number."""
    return [np.asarray(store.sentences[i], np.float32) for i in range(small.MUSEUMS)]


@pytest.fixture(scope="module")
def wanted(features, counts, params):
    source = OnDevice(features, LAYOUT)
    plan = plan_embedding(counts, np.arange(small.MUSEUMS), 64, source, LAYOUT)
    spec = ModelSpec(small.BY_ROOM)
    return np.asarray(embed(params, jnp.ones(1, bool), plan, spec=spec)[0])[0]


@pytest.mark.parametrize("together", [1, 5, 42])
def test_embeds_as_a_split_is_embedded(tower, described, wanted, together):
    found = [
        row
        for first in range(0, small.MUSEUMS, together)
        for row in tower(described[first : first + together])
    ]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def test_long_calls_are_cut(tower, described, wanted):
    found = tower(described * 2)
    np.testing.assert_allclose(found, np.tile(wanted, (2, 1)), rtol=0, atol=1e-6)


def test_nothing_has_no_embedding(tower):
    assert tower([]).shape == (0, 6)


def test_what_was_warmed_up_is_not_compiled(tower, described):
    def compiled() -> int:
        return cast(Any, text_tower._embed)._cache_size()

    tower.warm_up(64)
    before = compiled()
    for count in (1, 2, 8, 9, 20):
        tower(described[:count])
    tower([np.concatenate(described)[:60]])
    assert compiled() == before


def test_other_parameters_are_refused(params):
    text = dict(take_run(params, 0)["text"])
    text["bias_hh"] = text["bias_hh"][:, :-1]
    with pytest.raises(ValueError, match="expected the parameters of a text tower"):
        QueryTower(small.BY_ROOM.text, text)
