import numpy as np
import pytest

from hm3_jax.data.importers.common import ModelFacts
from hm3_jax.data.importers.hm3 import theme_of
from tests.data.importers.feature_sets import IDS, SIZE, VIDEOS, torch


def test_a_feature_set_is_imported_in_published_order(source, import_set):
    store, notes = import_set(source)
    ids = [museum for split in IDS.values() for museum in split]
    assert store.ids == tuple(ids)
    assert {s: [ids[i] for i in column] for s, column in store.splits.items()} == IDS
    assert store.dataset_name == "small"
    assert store.themes == ("TYPE_genre", "TYPE_marine", "TYPE_study")
    assert [store.themes[i] for i in store.theme_index] == [theme_of(m) for m in ids]
    assert store.images is None
    room = 0
    for i, museum in enumerate(ids):
        np.testing.assert_array_equal(store.sentences[i], source.sentences[museum])
        assert store.sentence_texts(i) == source.museums["sentences"][museum]
        rooms = range(store.room_offsets[i], store.room_offsets[i + 1])
        assert len(rooms) == len(source.views[museum])
        for views, videos in zip(source.views[museum], VIDEOS[museum], strict=True):
            np.testing.assert_array_equal(store.views[room], views.float())
            assert [store.videos.ids[k] for k in store.videos.hung[room]] == videos
            room += 1
    for name, feature in zip(store.videos.ids, store.videos.table, strict=True):
        np.testing.assert_array_equal(feature, source.videos["features"][name])
    # v3 hangs nowhere.
    assert sorted(store.videos.ids) == ["v0", "v1", "v2"]
    assert notes == ()


def test_facts_come_from_the_source_unless_they_are_stated(source, import_set):
    store, _ = import_set(source)
    facts = store.feature_facts()
    assert facts["sentences"] == {
        "feature_size": SIZE,
        "model": "ViT-B-32",
        "weights": "laion2b_s34b_b79k",
        "preprocessing": None,
        "pooling": None,
        "details": {"extractor": "OPEN_CLIP", "split_strategy": "BY_SENTENCE"},
    }
    assert facts["videos"]["model"] == "ViT-B-32-quickgelu"
    assert facts["videos"]["weights"] == "openai"
    assert facts["videos"]["pooling"] is None


def test_stated_facts_win(source, import_set):
    source.entries["povs"]["extractor"] = "SOMETHING_NEW"
    store, _ = import_set(source, model=ModelFacts("ViT-L-14"))
    facts = store.feature_facts()
    assert {kind: facts[kind]["model"] for kind in facts} == dict.fromkeys(
        ("sentences", "views", "videos"), "ViT-L-14"
    )
    assert facts["views"]["weights"] is None
    assert facts["videos"]["weights"] == "openai"


@pytest.mark.parametrize("pooling", ["mean", "first_frame"])
def test_features_of_frames_are_pooled(source, import_set, pooling):
    features = source.videos["features"]
    features["v0"] = torch.randn(3, SIZE)
    features["v1"] = torch.randn(1, SIZE)
    store, notes = import_set(source, video_pooling=pooling)
    by_id = dict(zip(store.videos.ids, store.videos.table, strict=True))
    expected = features["v0"].mean(0) if pooling == "mean" else features["v0"][0]
    np.testing.assert_allclose(by_id["v0"], expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(by_id["v1"], features["v1"][0])
    np.testing.assert_array_equal(by_id["v2"], features["v2"])
    assert store.feature_facts()["videos"]["pooling"] == pooling
    assert notes == (f"videos: features of frames pooled by {pooling}",)


def test_images_are_imported_too(source, import_set):
    source.images = {f"p{i}.jpg": torch.randn(1, SIZE) for i in range(3)}
    source.entries["image_art"]["extractor"] = "CLIP_VIT_BASE_32"
    source.museums["images"] = {
        m: [["p2.jpg"] for _ in rooms] for m, rooms in VIDEOS.items()
    }
    store, _ = import_set(source)
    assert store.images.ids == ("p2.jpg",)
    np.testing.assert_array_equal(store.images.table, source.images["p2.jpg"])
    assert store.images.hung.lengths.tolist() == [1] * store.manifest.counts["rooms"]


def test_kinds_without_features_are_left_out_with_a_note(source, import_set):
    source.entries["video_art"]["extractor"] = "NONE"
    store, notes = import_set(source)
    assert store.videos is None
    assert notes == ("videos left out: the feature set has no features of them",)


def test_features_of_a_museum_in_no_split_are_left_out_with_a_note(source, import_set):
    source.museums["splits"]["train"].remove("m2_TYPE_genre")
    store, notes = import_set(source)
    assert "m2_TYPE_genre" not in store.ids
    assert notes == ("1 museum left out: in no split",)


def test_texts_and_rooms_are_left_out_where_features_are_windows(source, import_set):
    source.entries["descriptions"]["split_strategy"] = "BY_MAX_LENGTH"
    source.museums["sentence_rooms"] = {"m1_TYPE_genre": [0, 0]}
    store, notes = import_set(source)
    assert store.sentence_texts(0) is None
    assert store.sentence_rooms is None
    assert [note.partition(" left out: ")[0] for note in notes] == [
        "sentence texts",
        "sentence rooms",
    ]
    assert all("windows over the text" in note for note in notes)


@pytest.mark.parametrize("about", [{}, {"m5_x_TYPE_marine": [0, 0, -1, 1, 1, 0]}])
def test_rooms_of_sentences_are_those_of_the_list(source, import_set, about):
    source.museums["sentence_rooms"] = about
    store, _ = import_set(source)
    if not about:
        assert store.sentence_rooms is None
        return
    wanted = [
        room
        for museum in store.ids
        for room in about.get(museum, [-1] * len(source.sentences[museum]))
    ]
    assert store.sentence_rooms.tolist() == wanted


def test_kinds_of_which_nothing_hangs_are_left_out(source, import_set):
    source.museums["images"] = {museum: [] for museum in VIDEOS}
    source.museums["videos"] = {}
    store, _ = import_set(source)
    assert store.images is None
    assert store.videos is None


def test_sentences_are_optional(source, import_set):
    del source.museums["sentences"]
    assert import_set(source)[0].sentence_texts(0) is None


def test_the_theme_is_the_last_two_fields():
    assert theme_of("a_b_TYPE_still-life") == "TYPE_still-life"
