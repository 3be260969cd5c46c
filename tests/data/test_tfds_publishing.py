"""Stores as TFDS data sets: what other people read there, and how it is written."""

import dataclasses
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.data import tfds_writer
from hm3_jax.data.museum import ArtworkTable, RoomRecord
from hm3_jax.data.store import open_store
from hm3_jax.data.tfds_find import find_published
from hm3_jax.data.tfds_format import Publication, load_tfds
from hm3_jax.data.tfds_reader import unpack
from hm3_jax.data.tfds_writer import publish_store
from tests.data import tfds_sets
from tests.data.museum_sets import artwork_tables, contents, museums, write

pytest.importorskip("array_record")
tfds = pytest.importorskip("tensorflow_datasets")

# What a stranger does: the data set's folder, TFDS, and nothing of ours.
STRANGER = """
import json, sys
import tensorflow_datasets as tfds

builder = tfds.builder_from_directory(sys.argv[1])
shown = {}
for split in builder.info.splits:
    for museum in builder.as_data_source(split):
        rooms = museum["rooms"]
        shown[museum["id"].decode()] = [
            split,
            museum["theme"].decode(),
            museum["sentences"].tolist(),
            [text.decode() for text in museum["sentence_texts"]],
            [views.tolist() for views in rooms["views"]],
            [images.tolist() for images in rooms["images"]],
            [videos.tolist() for videos in rooms["videos"]],
        ]
loaded = {name.split(".")[0] for name in sys.modules}
print(json.dumps([shown, sorted(loaded & {"tensorflow", "hm3_jax", "jax"})]))
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return tfds_sets.publish(tmp_path_factory.mktemp("published"))


def test_a_stranger_reads_the_museums_without_tensorflow(published):
    result = subprocess.run(
        [sys.executable, "-c", STRANGER, str(published)],
        capture_output=True,
        text=True,
        check=True,
    )
    shown, loaded = json.loads(result.stdout)
    assert (loaded, result.stderr) == ([], "")
    places = {
        kind: {name: i for i, name in enumerate(table.ids)}
        for kind, table in artwork_tables().items()
    }
    assert list(shown) == [
        m.id
        for split in ("train", "val", "test")
        for m in museums()
        if m.split == split
    ]
    for museum in museums():
        assert shown[museum.id] == [
            museum.split,
            museum.theme,
            museum.sentences.astype(np.float16).tolist(),
            list(museum.sentence_texts or ()),
            [room.views.astype(np.float16).tolist() for room in museum.rooms],
            *(
                [
                    [places[kind][name] for name in room.hung(kind)]
                    for room in museum.rooms
                ]
                for kind in ("images", "videos")
            ),
        ]


def test_artworks_lie_beside_the_museums(published):
    for kind, table in artwork_tables().items():
        features = np.load(published / f"{kind}.npy")
        assert features.tolist() == table.features.astype(np.float16).tolist()
        lines = (published / f"{kind[:-1]}_ids.txt").read_text().splitlines()
        assert tuple(lines) == table.ids


def test_the_data_set_says_what_it_is(tmp_path):
    write(tmp_path / "store", kind="synthetic", origin={"seed": 3})
    store = open_store(tmp_path / "store")
    folder = publish_store(
        store,
        tmp_path / "data",
        Publication(
            name="my_museums",
            version="2.0.1",
            description="Nine museums.",
            citation="@misc{nine}",
            homepage="https://example.org",
            license="CC BY 4.0",
        ),
    )
    assert folder == tmp_path / "data" / "my_museums" / "2.0.1"
    info = tfds.builder("my_museums", data_dir=tmp_path / "data").info
    assert (info.full_name, info.description) == ("my_museums/2.0.1", "Nine museums.")
    assert (info.citation, info.homepage) == ("@misc{nine}", "https://example.org")
    assert info.redistribution_info.license == "CC BY 4.0"
    sizes = {name: split.num_examples for name, split in info.splits.items()}
    assert sizes == {"train": 3, "val": 3, "test": 3}
    assert info.features.shape["rooms"]["views"] == (None, None, 4)
    assert info.features["sentences"].np_dtype == np.float16
    assert dict(info.metadata) == {
        "dataset_name": "small",
        "kind": "synthetic",
        "dtype": "float16",
        "themes": list(store.themes),
        "features": store.feature_facts(),
    }
    documented = json.loads((folder / "features.json").read_text())["featuresDict"]
    for name in info.features:
        assert documented["features"][name]["description"], name


@pytest.mark.parametrize(
    ("kind", "said"), [("synthetic", True), ("real", False)], ids=["synthetic", "real"]
)
def test_the_description_is_made_from_the_manifest(tmp_path, kind, said):
    folder = tfds_sets.publish(tmp_path, kind=kind)
    text = tfds.builder_from_directory(folder).info.description
    assert text.startswith("small: virtual museums")
    assert "views: 4 floats of model (weights)" in text
    assert "images.npy and videos.npy" in text
    assert ("The features are synthetic" in text) == said


@pytest.mark.parametrize(
    ("own", "name"), [("genMuseums", "genmuseums"), ("AdOC TeRA-2", "adoc_tera_2")]
)
def test_a_name_is_made_from_the_stores(tmp_path, own, name):
    assert tfds_sets.publish(tmp_path, dataset_name=own).parts[-2:] == (name, "1.0.0")


def test_names_and_versions_that_tfds_would_not_take_are_refused(tmp_path):
    for name in ("Large", "1st", "a-b", "../up"):
        with pytest.raises(ValueError, match=f"name: .* found '{name}'"):
            Publication(name=name)
    for version in ("1", "1.0", "01.0.0", "1.0.0a", ""):
        with pytest.raises(ValueError, match=f"version: .* found '{version}'"):
            Publication(version=version)
    with pytest.raises(ValueError, match="a name for TFDS, as the store's, '展覽'"):
        tfds_sets.publish(tmp_path, dataset_name="展覽")


def test_a_version_is_published_once(tmp_path):
    folder = tfds_sets.publish(tmp_path)
    before = contents(folder)
    store = open_store(tmp_path / "store")
    with pytest.raises(FileExistsError, match="1.0.0: expected a version that is not"):
        publish_store(store, tmp_path / "data", Publication())
    assert contents(folder) == before
    publish_store(store, tmp_path / "data", Publication(version="1.0.1"))
    assert sorted(p.name for p in folder.parent.iterdir()) == ["1.0.0", "1.0.1"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_while_publishing_leaves_nothing(tmp_path, error):
    write(tmp_path / "store")
    seen = []

    def interrupt(done, total):
        seen.append((done, total))
        if done == 5:
            assert len(list((tmp_path / "data" / "small").iterdir())) == 1
            raise error

    with pytest.raises(error):
        publish_store(
            open_store(tmp_path / "store"),
            tmp_path / "data",
            Publication(),
            watch=interrupt,
        )
    assert seen == [(done, 9) for done in range(1, 6)]
    assert list((tmp_path / "data" / "small").iterdir()) == []


def test_a_damaged_store_is_not_published(tmp_path):
    write(tmp_path / "store")
    store = open_store(tmp_path / "store")
    views = tmp_path / "store" / "views.npy"
    views.write_bytes(views.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match="views.npy: expected the .* bytes"):
        publish_store(store, tmp_path / "data", Publication())
    assert not (tmp_path / "data").exists()


def test_large_splits_are_cut_into_several_files(tmp_path, monkeypatch):
    write(tmp_path / "store")
    store = open_store(tmp_path / "store")
    total = store.sentences.values.nbytes + store.views.values.nbytes
    monkeypatch.setattr(tfds_writer, "_SHARD_BYTES", total * 2 // 9 + 1)
    folder = publish_store(store, tmp_path / "data", Publication())
    info = tfds.builder_from_directory(folder).info
    lengths = [split.shard_lengths for split in info.splits.values()]
    assert lengths == [[2, 1]] * 3


def test_one_museum_is_in_memory_at_a_time(tmp_path):
    rng = np.random.default_rng(0)
    count, size = 60, 4

    def large():
        for museum in museums(count):
            views = rng.standard_normal((50_000, size)).astype(np.float16)
            yield dataclasses.replace(
                museum, rooms=(RoomRecord(views),), sentence_rooms=None
            )

    one = 50_000 * size * 2
    tables = {
        kind: ArtworkTable(table.ids[:1], table.features[:1])
        for kind, table in artwork_tables().items()
    }
    write(tmp_path / "store", large(), artworks=tables)
    store = open_store(tmp_path / "store")
    folder = tmp_path / "data" / "small" / "1.0.0"

    def publish():
        publish_store(store, tmp_path / "data", Publication())

    def back():
        unpack(find_published(str(folder)), tmp_path / "again")

    # Features, their bytes, the example, its serialisation: copies of one museum; on
    # the way back one museum of each split.
    for work, museums_at_most in ((publish, 6), (back, 12)):
        tracemalloc.start()
        try:
            work()
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < museums_at_most * one


def test_what_is_not_installed_is_named(monkeypatch):
    for module in ("tensorflow_datasets", "importlib_resources"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(
                ModuleNotFoundError, match=f"need {module}.*setup.sh core tfds"
            ):
                load_tfds()


# Stops halfway, for good: first of the two publishes, second makes the store again.
HALFWAY = """
import sys, time
from pathlib import Path
from hm3_jax.data.store import open_store
from hm3_jax.data.tfds_find import find_published
from hm3_jax.data.tfds_format import Publication
from hm3_jax.data.tfds_reader import unpack
from hm3_jax.data.tfds_writer import publish_store

def halfway(done, total):
    if done == total // 2:
        print("halfway", flush=True)
        time.sleep(600)

store, output = Path(sys.argv[1]), Path(sys.argv[2])
if store.name == "store":
    publish_store(open_store(store), output, Publication(), watch=halfway)
else:
    unpack(find_published(str(store)), output, watch=halfway)
"""


def kill_halfway(source, output):
    process = subprocess.Popen(
        [sys.executable, "-c", HALFWAY, str(source), str(output)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"halfway\n"
    process.kill()
    process.communicate(timeout=60)


def test_who_is_killed_halfway_is_in_nobodys_way(tmp_path):
    write(tmp_path / "store")
    kill_halfway(tmp_path / "store", tmp_path / "data")
    (left,) = (tmp_path / "data" / "small").iterdir()
    assert left.name.startswith(".1.0.0.partial-")
    with pytest.raises(FileNotFoundError, match="found no dataset_info.json"):
        find_published(str(tmp_path / "data" / "small"))
    folder = publish_store(
        open_store(tmp_path / "store"), tmp_path / "data", Publication()
    )

    kill_halfway(folder, tmp_path / "cache" / "again")
    (left,) = (tmp_path / "cache").iterdir()
    assert left.name.startswith(".again.partial-")
    unpack(find_published(str(folder)), tmp_path / "cache" / "again")
    assert [path.name for path in folder.parent.iterdir()] == ["1.0.0"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["again"]
    assert contents(tmp_path / "cache" / "again") == contents(tmp_path / "store")
