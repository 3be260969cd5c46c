"""Batches gathered on the device against slices of the store."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from hm3_jax.data.store import FeatureStore, open_store
from hm3_jax.learn.batches import plan as under_test
from hm3_jax.learn.batches.features import check_inputs, load_features
from hm3_jax.learn.batches.gather import descriptions, scenes
from hm3_jax.learn.batches.plan import (
    EMPTY,
    Batches,
    MuseumSizes,
    StaticSizes,
    packings,
)
from hm3_jax.nn.ragged import Ragged
from hm3_jax.nn.strategy import TowersConfig
from tests.learn import small

# Museum 0 and the last one, one twice, and free places in the middle and at the end.
BATCHES = [
    [0, 17, EMPTY, 41, 5],
    [3, 3, 28, EMPTY, EMPTY],
    [EMPTY, EMPTY, EMPTY, EMPTY, EMPTY],
]


@functools.partial(jax.jit, static_argnames="capacity")
def gather(features, museums, sentences, sequence, capacity):
    packing = packings(sentences, sequence, capacity)
    text = descriptions(features, museums, packing, capacity)
    scene = scenes(features, museums, packing, capacity)
    return text.sentences, scene.rooms, scene.items


def plan(counts: MuseumSizes, museums) -> Batches:
    """Batches (runs, steps, batch) of runs side by side on one device."""
    return counts.plan(np.asarray(museums), small.one_device(len(museums)))


def capacity_of(counts: MuseumSizes, museums) -> StaticSizes:
    return counts.capacity([plan(counts, museums)])


def sets_of(ragged: Ragged) -> list[np.ndarray]:
    ends = np.cumsum(ragged.lengths)
    return np.split(np.asarray(ragged.values)[: ends[-1]], ends[:-1])


def rooms_of(store: FeatureStore, museum: int) -> range:
    return range(*store.room_offsets[museum : museum + 2])


def items_of(store: FeatureStore, kind: str, room: int) -> np.ndarray:
    if kind == "views":
        return store.views[room]
    artworks = store.artworks(kind)
    assert artworks is not None
    return artworks.table[artworks.hung[room]]


@pytest.mark.parametrize("step", range(len(BATCHES)))
def test_a_batch_holds_what_the_store_holds(store, features, counts, step):
    museums = np.array(BATCHES[step])
    planned = plan(counts, [BATCHES])
    batch = jax.tree.map(lambda x: x[0, 0, 0, step], planned)
    np.testing.assert_array_equal(batch.museums, museums)
    sentences, rooms, items = gather(
        features, *jax.tree.leaves(batch), counts.capacity([planned])
    )
    filled = museums != EMPTY
    for museum, found in zip(museums[filled], compress(sentences, filled), strict=True):
        np.testing.assert_array_equal(found, store.sentences[museum])
        assert found.dtype == np.float32
    assert not np.asarray(sentences.lengths)[~filled].any()
    all_rooms = [room for m in museums[filled] for room in rooms_of(store, m)]
    np.testing.assert_array_equal(
        rooms, [len(rooms_of(store, m)) if m != EMPTY else 0 for m in museums]
    )
    assert set(items) == {"views", "images", "videos"}
    for kind, of_kind in items.items():
        sets = sets_of(of_kind)
        for room, found in zip(all_rooms, sets, strict=False):
            np.testing.assert_array_equal(found, items_of(store, kind, room))
        assert not np.asarray(of_kind.lengths)[len(all_rooms) :].any()


def compress(ragged: Ragged, filled: np.ndarray) -> list[np.ndarray]:
    sets = sets_of(ragged)
    return [sets[i] for i in np.flatnonzero(filled)]


def test_the_store_has_what_is_easily_got_wrong(store):
    """Shared artworks and rooms without any, in the batches above."""
    for kind in ("images", "videos"):
        artworks = store.artworks(kind)
        assert artworks is not None
        rooms = [r for m in (0, 17, 41, 5, 3, 28) for r in rooms_of(store, m)]
        lengths = artworks.hung.lengths[rooms]
        assert 0 in lengths and lengths.max() >= 1
        assert len(artworks.hung.values) > len(np.unique(artworks.hung.values))


def test_capacity_holds_every_batch_and_no_more(store, counts, monkeypatch):
    monkeypatch.setattr(under_test, "_round_up", lambda count: count)
    rng = np.random.default_rng(0)
    batches = rng.integers(0, small.MUSEUMS, size=(2, 3, 40))
    batches[:, -1, 25:] = EMPTY
    capacity = capacity_of(counts, batches)

    def total(lengths) -> np.ndarray:
        return np.array(
            [
                [sum(lengths(m) for m in batch if m != EMPTY) for batch in run]
                for run in batches
            ]
        )

    def of_rooms(kind: str):
        return lambda m: sum(
            len(items_of(store, kind, room)) for room in rooms_of(store, m)
        )

    wanted = {
        "sentences": total(lambda m: len(store.sentences[m])),
        "rooms": total(lambda m: len(rooms_of(store, m))),
        **{kind: total(of_rooms(kind)) for kind in ("views", "images", "videos")},
    }
    found = {
        "sentences": capacity.sentences,
        "rooms": capacity.rooms,
        **dict(capacity.items),
    }
    assert found == {name: sums.max() for name, sums in wanted.items()}
    assert capacity.longest_description == 5
    assert capacity.longest_sequence == 3
    # Runs share the packing of a step: the longest of any run, the second longest, ...
    for lengths, packed in (
        (lambda m: len(store.sentences[m]), capacity.packed_sentences),
        (lambda m: len(rooms_of(store, m)), capacity.packed_sequence),
    ):
        sums = []
        for step in range(3):
            runs = [
                sorted(lengths(m) if m != EMPTY else 0 for m in run[step])
                for run in batches
            ]
            sums.append(sum(map(max, *runs)))
        assert packed == max(sums)


@pytest.mark.parametrize(("count", "wanted"), [(0, 32), (32, 32), (33, 64)])
def test_capacities_are_rounded_up(counts, count, wanted):
    # As many museums of one room (0, 9, 18, 27, 36) as it takes.
    museums = np.resize([0, 9, 18, 27, 36], (1, 1, max(count, 1)))
    capacity = capacity_of(counts, museums if count else museums * 0 + EMPTY)
    assert capacity.rooms == wanted


def test_what_no_strategy_reads_is_not_loaded(store):
    flat = load_features(store, small.FLAT)
    assert set(flat.items) == {"views"}
    assert flat.recurrence is None
    capacity = capacity_of(MuseumSizes.of(flat), [[[0, 1]]])
    assert (capacity.longest_sequence, capacity.packed_sequence) == (0, 0)


def test_a_recurrence_over_views_counts_views(store):
    config = dataclasses.replace(
        small.BY_ROOM,
        name="rnn_rnn",
        room=None,
        museum=dataclasses.replace(small.BY_ROOM.text, in_size=7),
    )
    counts = MuseumSizes.of(load_features(store, config))
    views = [
        sum(len(store.views[room]) for room in rooms_of(store, museum))
        for museum in range(small.MUSEUMS)
    ]
    np.testing.assert_array_equal(counts.steps, views)
    assert capacity_of(counts, [[[0, 1]]]).longest_sequence == max(views)


def test_a_store_without_videos_is_refused(tmp_path):
    museums = [
        dataclasses.replace(
            museum,
            rooms=tuple(dataclasses.replace(room, videos=()) for room in museum.rooms),
        )
        for museum in small.records()
    ]
    facts, artworks = small.facts(), small.artworks()
    del facts["videos"], artworks["videos"]
    small.write(tmp_path / "store", museums, facts=facts, artworks=artworks)
    store = open_store(tmp_path / "store")
    with pytest.raises(ValueError, match="needs videos, but .*store has only") as error:
        check_inputs(store, small.BY_ROOM)
    assert small.BY_ROOM.name in str(error.value)
    check_inputs(store, small.FLAT)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (
            dataclasses.replace(
                small.FLAT, text=dataclasses.replace(small.FLAT.text, in_size=512)
            ),
            "sentences features of 512 floats, but .* has 8",
        ),
        (
            dataclasses.replace(
                small.CONVOLUTION,
                museum=dataclasses.replace(
                    small.CONVOLUTION.museum, kinds={"views": 512}
                ),
            ),
            "views features of 512 floats, but .* has 7",
        ),
    ],
)
def test_another_feature_size_is_refused(store, config: TowersConfig, complaint):
    with pytest.raises(ValueError, match=f"{config.name} expects {complaint}"):
        load_features(store, config)
