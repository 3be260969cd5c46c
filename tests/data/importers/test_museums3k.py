import numpy as np
import pytest

from hm3_jax.data.importers.common import ModelFacts
from hm3_jax.data.importers.museums3k import read_museums3k
from hm3_jax.data.store import open_store, write_store
from tests.data.importers.feature_sets import torch, write_indices, write_tensor

# Rooms by file name. The published names lose '.', 'p' and 't' at both ends, which
# changes their order: "plot" becomes "lo".
ROOMS = {"Museum0-2.unity": 2, "plot": 1, "Museum10-1.unity": 1, "extra": 3}
PUBLISHED = ["Museum0-2.unity", "Museum10-1.unity", "extra", "lo"]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "museums3k"
    features = folder / "open_clip_features_museums3k"
    for seed, (name, rooms) in enumerate(ROOMS.items()):
        write_tensor(features / "images" / f"{name}.pt", 12 * rooms, seed)
        write_tensor(
            features / "descriptions" / "sentences" / f"{name}.pt", 5, seed + 9
        )
    indices = {"val": [0], "train": [3, 1], "test": [2]}
    write_indices(folder / "indices_museum_dataset.pkl", indices)
    return folder


def imported(folder, store, **options):
    result = read_museums3k(folder, **options)
    write_store(
        store, result.museums, dataset_name=result.dataset_name, facts=result.facts
    )
    return open_store(store), result


def test_what_macs_leave_does_not_shift_the_splits(folder, tmp_path):
    _, plain = imported(folder, tmp_path / "plain")
    features = folder / "open_clip_features_museums3k"
    (features / "images" / "._plot.pt").write_bytes(b"\x00\x05\x16\x07")
    store, result = imported(folder, tmp_path / "store")
    assert store.ids == ("lo", "Museum10-1.unity", "Museum0-2.unity", "extra")
    assert result.notes == plain.notes


def test_museums_are_imported_by_the_published_order(folder, tmp_path):
    store, result = imported(folder, tmp_path / "store")
    assert store.dataset_name == "museums3k"
    assert store.ids == ("lo", "Museum10-1.unity", "Museum0-2.unity", "extra")
    assert {split: list(ids) for split, ids in store.splits.items()} == {
        "train": [0, 1],
        "val": [2],
        "test": [3],
    }
    # Each museum is its own theme.
    assert [store.themes[i] for i in store.theme_index] == list(store.ids)
    assert np.diff(store.room_offsets).tolist() == [1, 1, 2, 3]
    assert set(store.views.lengths) == {12}
    assert store.images is None
    assert store.videos is None
    features = folder / "open_clip_features_museums3k"
    plot = torch.load(features / "images" / "plot.pt")
    np.testing.assert_array_equal(store.views[0], plot)
    sentences = torch.load(features / "descriptions" / "sentences" / "plot.pt")
    np.testing.assert_array_equal(store.sentences[0], sentences)
    facts = store.feature_facts()["views"]
    assert (facts["model"], facts["weights"]) == ("ViT-B-32", "laion2b_s34b_b79k")
    assert result.notes == ()


def test_the_folder_may_be_as_downloaded(folder, tmp_path):
    inner = folder / "tmp_museums"
    inner.mkdir()
    name = "open_clip_features_museums3k"
    (folder / name).rename(inner / name)
    assert len(imported(folder, tmp_path / "store")[0].ids) == 4


def test_stated_models_win(folder, tmp_path):
    store, _ = imported(folder, tmp_path / "store", model=ModelFacts("RN50", "openai"))
    facts = store.feature_facts()["sentences"]
    assert (facts["model"], facts["weights"]) == ("RN50", "openai")


def test_museums_in_no_split_are_noted(folder, tmp_path):
    write_indices(folder / "indices_museum_dataset.pkl", {"train": [1]})
    store, result = imported(folder, tmp_path / "store")
    assert store.ids == ("Museum10-1.unity",)
    assert result.notes == ("3 museums left out: in no split",)


IMAGES = "open_clip_features_museums3k/images"


@pytest.mark.parametrize(
    ("indices", "complaint"),
    [
        ({"train": [0, 4]}, "split 'train': expected indices below 4, found 4"),
        ({"train": [-1]}, "expected indices below 4, found -1"),
        ({"train": [0], "test": [0]}, "every id once, found 'index 0' twice"),
        ({"dev": [0]}, r"splits train, val, test, found \['dev'\]"),
        ({}, "museums in the splits, found none"),
        ({"train": [0.5]}, "split 'train': expected whole numbers, found float32"),
    ],
)
def test_faulty_indices_are_refused(folder, tmp_path, indices, complaint):
    write_indices(folder / "indices_museum_dataset.pkl", indices)
    with pytest.raises(ValueError, match=f"indices_museum_dataset.pkl: .*{complaint}"):
        imported(folder, tmp_path / "store")


def test_views_that_are_no_whole_rooms_are_refused(folder, tmp_path):
    write_tensor(folder / IMAGES / "plot.pt", 13, 0)
    with pytest.raises(ValueError, match="plot.pt: museum 'lo': .*12 views .*found 13"):
        imported(folder, tmp_path / "store")


def test_another_feature_size_is_refused(folder, tmp_path):
    write_tensor(folder / IMAGES / "extra.pt", 12, 0, size=5)
    with pytest.raises(ValueError, match="museum 'extra'.*size 6, found 5"):
        imported(folder, tmp_path / "store")


def test_other_contents_are_refused(folder, tmp_path):
    torch.save({"a": torch.zeros(2)}, folder / IMAGES / "plot.pt")
    with pytest.raises(ValueError, match=r"plot.pt: expected a tensor \(rows, d\)"):
        imported(folder, tmp_path / "store")


def test_names_that_become_the_same_are_refused(folder, tmp_path):
    write_tensor(folder / IMAGES / "lo.pt", 12, 0)
    with pytest.raises(ValueError, match="every id once, found 'lo' twice"):
        imported(folder, tmp_path / "store")


@pytest.mark.parametrize(
    "name",
    [
        "open_clip_features_museums3k",
        "open_clip_features_museums3k/descriptions/sentences/plot.pt",
        "indices_museum_dataset.pkl",
    ],
)
def test_missing_files_are_named(folder, tmp_path, name):
    (folder / name).rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=name.split("/")[-1]):
        imported(folder, tmp_path / "store")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: expected a folder"):
        read_museums3k(tmp_path / "nowhere")
