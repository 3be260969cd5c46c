"""Museums without each of their rooms, against museums that never had it."""

import dataclasses

import jax
import numpy as np
import pytest

from hm3_jax.data.store import open_store
from hm3_jax.learn.batches import placement
from hm3_jax.learn.batches.features import load_features
from hm3_jax.learn.evaluation import embed_museums as module
from hm3_jax.learn.evaluation.embed_museums import embed_without_rooms
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
    wanted, _ = embed_without_rooms(model, load_features(other, config), rows)

    features = load_features(store, config)
    ids = {name: row for row, name in enumerate(store.ids)}
    museums = np.array([ids[records[i].id] for i in chosen])
    whole, found = embed_without_rooms(model, features, museums)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    # They differ from the whole museums, or leaving out would do nothing.
    rooms = [len(records[i].rooms) for i in chosen]
    distance = np.abs(np.repeat(whole, rooms, axis=0) - found).max(axis=1)
    assert (distance > 1e-4).mean() > 0.9


def test_what_museums_hold_is_placed_once(store, monkeypatch):
    """Whatever the number of rooms and of other museums in the store."""
    placed = []

    def place(features, *about):
        placed.append(features)
        return placement.place(features, *about)

    monkeypatch.setattr(module, "place", place)
    features = load_features(store, small.BY_ROOM)
    some = np.array([3, 5])
    embed_without_rooms(model_of(small.BY_ROOM), features, some)
    (found,) = placed
    rooms = store.room_offsets
    for kind, column in found.items.items():
        own = features.items[kind]
        items = np.concatenate(
            [np.arange(*own.offsets[rooms[[m, m + 1]]]) for m in some]
        )
        used = set((items if own.index is None else own.index[items]).tolist())
        assert len(column.table) == len(used)
    assert len(found.sentences.table) == 0
