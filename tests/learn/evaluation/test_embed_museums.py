"""Museums without each of their rooms, against museums that never had it."""

import dataclasses

import jax
import numpy as np
import pytest

from hm3_jax.data.store import open_store
from hm3_jax.learn.batches.features import load_features
from hm3_jax.learn.evaluation.embed_museums import embed_museums, without_each_room
from hm3_jax.learn.model import Model, draw_params, take_run
from tests.learn import small

STRATEGIES = [small.BY_ROOM, small.FLAT, small.CONVOLUTION]


def model_of(config) -> Model:
    params = draw_params(config, jax.random.split(jax.random.key(2), 1))
    return Model(config, take_run(params, 0), None)


@pytest.mark.parametrize("config", STRATEGIES, ids=lambda config: config.name)
def test_a_room_left_out_is_a_room_never_there(store, tmp_path, config):
    records = small.records()
    chosen = [i for i in range(small.MUSEUMS) if len(records[i].rooms) > 1]
    without = [
        dataclasses.replace(
            records[i],
            id=f"{i}-{room}",
            rooms=records[i].rooms[:room] + records[i].rooms[room + 1 :],
        )
        for i in chosen
        for room in range(len(records[i].rooms))
    ]
    # Some artworks may hang nowhere now, which a store allows.
    other = open_store(small.write(tmp_path / "store", without))
    wanted_of = {name: row for row, name in enumerate(other.ids)}
    rows = np.array([wanted_of[museum.id] for museum in without])
    model = model_of(config)
    wanted = embed_museums(model, load_features(other, config), rows)

    features = load_features(store, config)
    ids = {name: row for row, name in enumerate(store.ids)}
    museums = np.array([ids[records[i].id] for i in chosen])
    variants = without_each_room(features, museums)
    found = embed_museums(model, variants, np.arange(len(without)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    # They differ from the whole museums, or leaving out would do nothing.
    whole = embed_museums(model, features, museums)
    rooms = [len(records[i].rooms) for i in chosen]
    distance = np.abs(np.repeat(whole, rooms, axis=0) - found).max(axis=1)
    assert (distance > 1e-4).mean() > 0.9
