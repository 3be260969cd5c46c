import numpy as np
import pytest

from hm3_jax.data.importers.apartments import read_apartments
from hm3_jax.data.importers.common import ModelFacts
from hm3_jax.data.store import open_store, write_store
from tests.data.importers.feature_sets import write_indices, write_tensor

MODEL = "ViT-B-32_laion2b_s34b_b79k"
VIEWS = {"0f-a": 3, "00-b": 5, "1c": 1}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "apartments"
    add_features(folder, MODEL, 0)
    available = folder / "train_evaluation" / "data" / "available_data.txt"
    available.parent.mkdir(parents=True)
    available.write_text("".join(f"{name}\n" for name in VIEWS))
    splits = {"train": [2], "val": [0], "test": [1]}
    write_indices(folder / "indices" / "indices.pkl", splits)
    return folder


def add_features(folder, model, seed):
    features = folder / "open_clip_features"
    for name, views in VIEWS.items():
        write_tensor(features / f"images_{model}" / f"{name}.pt", views, seed)
        sentences = features / f"descriptions_{model}" / "sentences"
        write_tensor(sentences / f"{name}.pt", 4, seed)


def imported(folder, store, *arguments, **options):
    result = read_apartments(folder, *arguments, **options)
    write_store(
        store, result.museums, dataset_name=result.dataset_name, facts=result.facts
    )
    return open_store(store)


def test_apartments_are_one_room_and_one_theme_each(folder, tmp_path):
    store = imported(folder, tmp_path / "store")
    assert store.dataset_name == "apartments"
    assert store.ids == ("1c", "0f-a", "00-b")
    assert [store.themes[i] for i in store.theme_index] == list(store.ids)
    assert np.diff(store.room_offsets).tolist() == [1, 1, 1]
    assert store.views.lengths.tolist() == [1, 3, 5]
    assert store.sentences.lengths.tolist() == [4, 4, 4]
    facts = store.feature_facts()["views"]
    assert (facts["model"], facts["weights"]) == ("ViT-B-32", "laion2b_s34b_b79k")
    assert store.images is None


def test_one_of_several_models_has_to_be_chosen(folder, tmp_path):
    add_features(folder, "RN50_openai", 1)
    with pytest.raises(ValueError, match=f"found RN50_openai, {MODEL}$"):
        read_apartments(folder)
    with pytest.raises(ValueError, match=f"'RN101', found RN50_openai, {MODEL}$"):
        read_apartments(folder, "RN101")
    store = imported(folder, tmp_path / "store", "RN50_openai")
    expected = write_tensor(tmp_path / "same.pt", 1, 1)
    np.testing.assert_array_equal(store.views[0], expected)
    assert store.feature_facts()["views"]["model"] == "RN50"


def test_a_model_without_descriptions_is_no_choice(folder, tmp_path):
    features = folder / "open_clip_features"
    write_tensor(features / "images_RN50_openai" / "1c.pt", 1, 1)
    assert imported(folder, tmp_path / "store").ids[0] == "1c"
    (features / f"descriptions_{MODEL}").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="features of one model.*found none"):
        read_apartments(folder)


def test_stated_models_win(folder, tmp_path):
    store = imported(folder, tmp_path / "store", model=ModelFacts(pretrained="mine"))
    facts = store.feature_facts()["sentences"]
    assert (facts["model"], facts["weights"]) == ("ViT-B-32", "mine")


def test_an_id_that_is_listed_twice_is_refused(folder):
    available = folder / "train_evaluation" / "data" / "available_data.txt"
    available.write_text("1c\n0f-a\n1c\n")
    with pytest.raises(ValueError, match="every id once, found '1c' twice"):
        read_apartments(folder)


@pytest.mark.parametrize(
    "name",
    [
        "open_clip_features",
        "train_evaluation/data/available_data.txt",
        "indices/indices.pkl",
        f"open_clip_features/images_{MODEL}/1c.pt",
    ],
)
def test_missing_files_are_named(folder, tmp_path, name):
    (folder / name).rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=name.split("/")[-1]):
        imported(folder, tmp_path / "store")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: expected a folder"):
        read_apartments(tmp_path / "nowhere")
