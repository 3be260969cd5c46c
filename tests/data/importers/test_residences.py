"""The importer on real data, against torch's own reading of it."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.data.importers.hm3 import read_hm3
from hm3_jax.data.importers.museum_list import read_museum_json
from hm3_jax.data.store import open_store, write_store
from hm3_jax.data.verify import verify_store

RESIDENCES = Path(__file__).parents[4] / "shared" / "data" / "residences"

pytestmark = pytest.mark.skipif(
    not RESIDENCES.is_dir(), reason="needs ../shared/data/residences"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    museum_list = read_museum_json(RESIDENCES / "museums.json")
    imported = read_hm3(RESIDENCES, "base", museum_list)
    path = tmp_path_factory.mktemp("residences") / "store"
    write_store(
        path,
        imported.museums,
        dataset_name=imported.dataset_name,
        facts=imported.facts,
        artworks=imported.artworks,
    )
    return open_store(path)


def test_the_store_is_sound(store):
    assert verify_store(store.path) == []


def test_counts_are_those_of_the_data_sets_description(store):
    assert store.manifest.splits == {"train": 1000, "val": 150, "test": 300}
    assert len(store.themes) == 9
    assert store.images is None
    assert set(store.views.lengths) == {4}
    assert store.videos.hung.lengths.max() == 3


def test_every_feature_is_torchs(store):
    pytest.importorskip("torch", reason="needs torch as the oracle")

    def load(name):
        # The data are this project's own, so that plain pickle may open them.
        return pickle.loads((RESIDENCES / f"{name}.pickle").read_bytes())

    sentences, views = load("museumDesc"), load("museumSceneFeatures")
    videos = load("videoArt")["features"]
    listed = json.loads((RESIDENCES / "museums.json").read_text())
    room = 0
    for i, museum in enumerate(store.ids):
        np.testing.assert_array_equal(store.sentences[i], sentences[museum].numpy())
        assert store.sentence_texts(i) == listed["sentences"][museum]
        for tensor, names in zip(views[museum], listed["videos"][museum], strict=True):
            np.testing.assert_array_equal(store.views[room], tensor.numpy())
            hung = store.videos.hung[room]
            assert [store.videos.ids[k] for k in hung] == names
            for k, name in zip(hung, names, strict=True):
                np.testing.assert_array_equal(
                    store.videos.table[k], videos[name].numpy()
                )
            room += 1
