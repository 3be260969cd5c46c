"""Rooms of a store's sentences, found by vectors that are made by hand."""

import numpy as np
import pytest

from hm3_jax.data.store import open_store
from hm3_jax.learn.evaluation.sentence_rooms import sentence_room_recall
from hm3_jax.objective.late_interaction import QueryVectors
from tests.data.museum_sets import museums, write
from tests.objective.test_room_recall import museum_vectors

NONE = np.zeros(0, np.float32)


def tower(descriptions):
    """The first three numbers of each feature, of length 1."""
    queries = []
    for rows in descriptions:
        assert rows.dtype == np.float32
        cut = rows[:, :3] / np.linalg.norm(rows[:, :3], axis=1, keepdims=True)
        weights = np.full(len(rows), 1 / len(rows), np.float32)
        queries.append(QueryVectors(cut, weights, NONE, NONE))
    return queries


@pytest.mark.parametrize("some", [1, 2, 256])
def test_sentences_are_those_of_the_museums_asked_for(tmp_path, monkeypatch, some):
    monkeypatch.setattr("hm3_jax.learn.evaluation.sentence_rooms._SOME", some)
    write(tmp_path / "store", dtype="float32")
    store, records = open_store(tmp_path / "store"), museums()
    chosen = np.array([7, 0, 4, 5, 2])
    rng = np.random.default_rng(0)
    items, rooms, hits, shares = [], [], [], []
    for record in (records[i] for i in chosen):
        rooms.append(np.repeat(np.arange(len(record.rooms)), 2))
        items.append(rng.standard_normal((len(rooms[-1]), 3)).astype(np.float32))
        (query,) = tower([record.sentences])
        for vector, room in zip(
            query.sentences, record.sentence_rooms or (), strict=False
        ):
            if room >= 0:
                hits.append(rooms[-1][np.argmax(items[-1] @ vector)] == room)
                shares.append(np.mean(rooms[-1] == room))
    found = sentence_room_recall(store, chosen, tower, museum_vectors(items, rooms))
    assert found is not None
    assert found.sentences == len(hits) > 5
    assert found.recall == pytest.approx(100 * np.mean(hits))
    assert found.chance == pytest.approx(100 * np.mean(shares))


def test_a_store_that_knows_no_rooms_has_no_recall(tmp_path):
    write(tmp_path / "store", museums()[:1])
    store = open_store(tmp_path / "store")
    one = museum_vectors([np.eye(3, dtype=np.float32)], [np.arange(3)])
    assert sentence_room_recall(store, np.array([0]), tower, one) is None
