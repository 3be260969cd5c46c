import collections
import dataclasses
import re

import numpy as np
import pytest

from hm3_jax.data.concepts import THEMES, ConceptEncoder, ConceptSpace
from hm3_jax.data.store import open_store
from hm3_jax.data.synthetic import synthesize
from hm3_jax.data.synthetic_plan import (
    MUSEUM_SLOTS,
    SLOTS,
    SPLIT_SHARES,
    THEME_SHARES,
    SyntheticConfig,
    plan_museums,
)
from hm3_jax.data.verify import verify_store
from tests.data.museum_sets import contents

SMALL = SyntheticConfig(museums=40, feature_size=32)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("synthetic") / "store"
    synthesize(path, SyntheticConfig(museums=1500, feature_size=128))
    return open_store(path)


def test_the_store_is_sound_and_says_that_it_is_synthetic(store):
    assert verify_store(store.path) == []
    assert store.manifest.kind == "synthetic"
    assert store.manifest.origin["source"] == "synthesize"
    for facts in store.feature_facts().values():
        assert facts["model"] == "concepts"
        assert facts["details"]["synthetic"] is True


def test_sizes_are_those_asked_for(store):
    assert store.manifest.splits == {"train": 1050, "val": 150, "test": 300}
    assert store.manifest.counts["museums"] == 1500
    rooms = np.diff(store.room_offsets)
    assert (rooms.min(), rooms.max()) == (3, 8)
    assert rooms.mean() == pytest.approx(5.5, abs=0.2)
    assert set(store.views.lengths) == {4}
    assert store.sentences.lengths.mean() == pytest.approx(22, abs=1)
    assert store.videos.hung.lengths.mean() == pytest.approx(1.5, abs=0.05)
    assert (store.videos.hung.lengths.min(), store.videos.hung.lengths.max()) == (0, 3)
    assert (store.images.hung.lengths.min(), store.images.hung.lengths.max()) == (0, 4)
    # Paintings hang in several rooms, clips in one.
    assert len(store.images.hung.values) > 1.5 * len(store.images.table)
    assert sorted(store.videos.hung.values) == list(range(len(store.videos.table)))


def test_themes_are_as_uneven_as_planned(store):
    shares = np.bincount(store.theme_index) / len(store.ids)
    by_name = dict(zip(store.themes, shares, strict=True))
    for theme, share in zip(THEMES, THEME_SHARES, strict=True):
        assert by_name[theme] == pytest.approx(share, abs=0.04)
    assert sum(THEME_SHARES) == pytest.approx(1)
    assert sum(SPLIT_SHARES.values()) == pytest.approx(1)


@pytest.mark.parametrize("change", [{}, {"seed": 1}, {"concept_seed": 1}])
def test_the_same_configuration_gives_the_same_bytes(tmp_path, change):
    config = dataclasses.replace(SMALL, **change)
    synthesize(tmp_path / "a", config)
    synthesize(tmp_path / "b", config)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    if change:
        synthesize(tmp_path / "c", SMALL)
        views = [np.load(tmp_path / name / "views.npy") for name in "ac"]
        assert views[0].shape != views[1].shape or not np.array_equal(*views)


def test_the_concept_seed_changes_the_space_and_not_the_museums(tmp_path):
    synthesize(tmp_path / "a", SMALL)
    synthesize(tmp_path / "b", dataclasses.replace(SMALL, concept_seed=1))
    a, b = open_store(tmp_path / "a"), open_store(tmp_path / "b")
    assert [a.sentence_texts(i) for i in range(40)] == [
        b.sentence_texts(i) for i in range(40)
    ]
    assert not np.array_equal(a.views.values, b.views.values)
    assert (
        a.feature_facts()["views"]["weights"] != b.feature_facts()["views"]["weights"]
    )


def test_sentence_features_are_their_texts_through_the_rebuilt_encoder(store):
    encoder = ConceptEncoder.from_facts(store.feature_facts()["sentences"])
    for i in (0, 700, 1499):
        expected = encoder.encode(store.sentence_texts(i)).astype(np.float16)
        np.testing.assert_array_equal(store.sentences[i], expected)


def test_articles_are_those_of_english(store):
    texts = " ".join(text for i in range(100) for text in store.sentence_texts(i))
    assert re.findall(r"\ba [aeiou]\w+|\ban [^aeiou]\w+", texts) == []
    assert " an angel" in texts and " a saint" in texts


def test_descriptions_go_through_the_rooms_in_order(store):
    for i in range(50):
        texts = store.sentence_texts(i)
        rooms = store.room_offsets[i + 1] - store.room_offsets[i]
        ordinals = "first second third fourth fifth sixth seventh eighth".split()
        named = [
            ordinal
            for text in texts
            for ordinal in ordinals
            if f"the {ordinal} room" in text.lower()
        ]
        assert named == ordinals[:rooms]
        # Each room's sentences begin where its number is named; the first is about all.
        starts = [
            any(f"the {o} room" in text.lower() for o in ordinals) for text in texts
        ]
        about = store.sentence_rooms[slice(*store.sentences.offsets[i : i + 2])]
        assert about.tolist() == (np.cumsum(starts) - 1).tolist()


@pytest.fixture(scope="module")
def plan():
    return plan_museums(SyntheticConfig(museums=2000), ConceptSpace(0, 16))


def rooms_of(plan, i):
    return plan.concepts[plan.room_offsets[i] : plan.room_offsets[i + 1]]


def test_slots_hold_words_of_their_groups(plan):
    space = ConceptSpace(0, 16)
    group_of = [group for group, words in space.concepts.items() for _ in words]
    for column, group in enumerate(SLOTS):
        assert {group_of[c] for c in plan.concepts[:, column]} == {group}
    for i in range(len(plan.splits)):
        assert len(np.unique(rooms_of(plan, i)[:, :MUSEUM_SLOTS], axis=0)) == 1


def test_siblings_differ_in_order_or_combination_only_and_share_a_split(plan):
    by_concepts = collections.defaultdict(list)
    for i in range(len(plan.splits)):
        by_concepts[tuple(np.sort(rooms_of(plan, i).ravel()))].append(i)
    families = [family for family in by_concepts.values() if len(family) > 1]
    siblings = sum(len(family) - 1 for family in families)
    assert 0.1 < siblings / len(plan.splits) < 0.2
    same_rooms = 0
    for first, *others in families:
        assert {plan.splits[i] for i in others} == {plan.splits[first]}
        assert {plan.themes[i] for i in others} == {plan.themes[first]}
        for i in others:
            a, b = (np.unique(rooms_of(plan, k), axis=0) for k in (first, i))
            same_rooms += a.shape == b.shape and bool((a == b).all())
    assert 0.3 < same_rooms / siblings < 0.7


def test_museums_of_a_theme_share_concepts(plan):
    def shared(pairs):
        return np.mean(
            [
                len(set(rooms_of(plan, a).ravel()) & set(rooms_of(plan, b).ravel()))
                for a, b in pairs
            ]
        )

    rng = np.random.default_rng(0)
    pairs = rng.integers(2000, size=(4000, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    same = plan.themes[pairs[:, 0]] == plan.themes[pairs[:, 1]]
    assert shared(pairs[same]) > 1.3 * shared(pairs[~same])


def test_paintings_show_concepts_of_every_room_they_hang_in(plan):
    for room in range(0, len(plan.concepts), 37):
        hung = plan.paintings[
            plan.painting_offsets[room] : plan.painting_offsets[room + 1]
        ]
        assert len(set(hung)) == len(hung)
        for shown in plan.painting_concepts[hung]:
            assert set(shown) <= set(plan.concepts[room])


def means(values, offsets):
    sums = np.add.reduceat(values.astype(np.float32), offsets[:-1], axis=0)
    return sums / np.diff(offsets)[:, None]


def test_themes_are_easy_and_exact_matches_are_not_without_training(store):
    train, test = store.splits["train"], store.splits["test"]
    text = means(store.sentences.values, store.sentences.offsets)
    scene = means(store.views.values, store.views.offsets[store.room_offsets])

    for features in (text, scene):
        centred = features - features[train].mean(axis=0)
        centres = np.stack(
            [centred[train][store.theme_index[train] == t].mean(0) for t in range(10)]
        )
        cosines = (centred[test] @ centres.T) / np.linalg.norm(centres, axis=1)
        hits = cosines.argmax(axis=1) == store.theme_index[test]
        by_theme = [hits[store.theme_index[test] == t] for t in range(10)]
        # Guessing gets a tenth, whatever it guesses.
        assert np.mean([hits.mean() for hits in by_theme if len(hits)]) > 0.3

    text, scene = (
        x[test] / np.linalg.norm(x[test], axis=1)[:, None] for x in (text, scene)
    )
    cosines = text @ scene.T
    ranks = (cosines > np.diag(cosines)[:, None]).sum(axis=1) + 1
    assert (ranks == 1).mean() < 0.2
    # Better than chance all the same: words and pictures agree in part.
    assert np.median(ranks) < 0.4 * len(test)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"museums": 9}, "museums: expected at least 10, found 9"),
        ({"rooms": 0.5}, "rooms: expected at least 1, found 0.5"),
        ({"views": 0}, "views: expected at least 1, found 0"),
        ({"sentences": 5}, "sentences: expected at least 6.5, found 5"),
        ({"clips": -1}, "clips: expected at least 0, found -1"),
        ({"seed": -1}, "seed: expected at least 0, found -1"),
        ({"noise": float("nan")}, "noise: expected at least 0, found nan"),
    ],
)
def test_sizes_that_make_no_museums_are_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        dataclasses.replace(SMALL, **changes)


def test_sets_without_images_or_clips_have_none(tmp_path):
    synthesize(tmp_path / "store", dataclasses.replace(SMALL, images=0, clips=0))
    store = open_store(tmp_path / "store")
    assert store.images is None
    assert store.videos is None


@pytest.mark.parametrize("rooms", [1, 14])
def test_other_sizes_work_too(tmp_path, rooms):
    config = dataclasses.replace(SMALL, rooms=rooms, views=12, sentences=30)
    synthesize(tmp_path / "store", config)
    assert verify_store(tmp_path / "store") == []
