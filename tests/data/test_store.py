import dataclasses
import hashlib
import json
import sys

import numpy as np
import pytest

from hm3_jax.data.museum import MuseumRecord, RoomRecord
from hm3_jax.data.store import FeatureFacts, RaggedArray, open_store
from hm3_jax.data.store_format import FORMAT_VERSION
from hm3_jax.data.verify import verify_store
from hm3_jax.files.json_files import json_text
from tests.data.museum_sets import (
    SIZES,
    artwork_tables,
    contents,
    facts,
    museums,
    with_first,
    write,
)


@pytest.fixture
def store_path(tmp_path):
    write(tmp_path / "store", dtype="float32")
    return tmp_path / "store"


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_store_holds_what_was_written(tmp_path, dtype):
    records, tables = museums(17), artwork_tables()
    write(tmp_path / "store", iter(records), dtype=dtype)
    store = open_store(tmp_path / "store")

    assert store.path == tmp_path / "store"
    assert store.dataset_name == "small"
    assert store.manifest.kind == "real"
    assert store.ids == tuple(record.id for record in records)
    assert store.themes == ("genre", "marine", "portrait", "still-life")
    assert [store.themes[i] for i in store.theme_index] == [m.theme for m in records]
    assert store.theme_index.dtype == np.int32
    assert list(store.splits) == ["train", "val", "test"]
    for split, indices in store.splits.items():
        assert indices.dtype == np.int64
        assert indices.tolist() == [
            i for i, record in enumerate(records) if record.split == split
        ]
    room = 0
    for i, record in enumerate(records):
        expected = record.sentences.astype(dtype)
        np.testing.assert_array_equal(store.sentences[i], expected, strict=True)
        assert store.sentence_texts(i) == list(record.sentence_texts or ())
        assert store.sentence_rooms is not None
        about = store.sentence_rooms[slice(*store.sentences.offsets[i : i + 2])]
        unknown = (-1,) * len(record.sentences)
        assert tuple(about.tolist()) == (record.sentence_rooms or unknown)
        assert about.dtype == np.int32
        assert store.room_offsets[i] == room
        for written in record.rooms:
            expected = written.views.astype(dtype)
            np.testing.assert_array_equal(store.views[room], expected, strict=True)
            for kind in ("images", "videos"):
                artworks = store.artworks(kind)
                assert artworks is not None
                names = [artworks.ids[row] for row in artworks.hung[room]]
                assert tuple(names) == written.hung(kind)
            room += 1
    assert store.room_offsets[-1] == room == len(store.views)
    for kind, table in tables.items():
        artworks = store.artworks(kind)
        assert artworks is not None
        assert artworks.ids == table.ids
        assert artworks.hung.values.dtype == np.int32
        np.testing.assert_array_equal(
            artworks.table, table.features.astype(dtype), strict=True
        )
    for column in (store.sentences, store.views):
        assert column.offsets.dtype == np.int64
        assert not column.values.flags.writeable


@pytest.mark.parametrize("about", [None, -1])
def test_a_store_in_which_no_sentence_knows_its_room_says_nothing_of_rooms(
    tmp_path, about
):
    records = [
        dataclasses.replace(
            m, sentence_rooms=None if about is None else (about,) * len(m.sentences)
        )
        for m in museums()
    ]
    write(tmp_path / "store", records)
    assert open_store(tmp_path / "store").sentence_rooms is None
    assert not (tmp_path / "store" / "sentence_rooms.npy").exists()
    assert verify_store(tmp_path / "store") == []


def test_kinds_that_a_set_does_not_have_are_none(tmp_path):
    records = [
        MuseumRecord("a", "train", "t", np.ones((2, 3)), (RoomRecord(np.ones((1, 5))),))
    ]
    two = {"sentences": FeatureFacts(3), "views": FeatureFacts(5)}
    write(tmp_path / "store", records, facts=two, artworks=None)
    store = open_store(tmp_path / "store")
    assert store.images is None
    assert store.videos is None
    assert store.sentence_texts(0) is None
    assert list(store.splits) == ["train"]
    with pytest.raises(ValueError, match="'videos', found sentences, views"):
        store.feature_size("videos")


def test_the_manifest_has_counts_and_facts(store_path):
    store, records = open_store(store_path), museums()
    rooms = [room for record in records for room in record.rooms]
    assert store.manifest.counts == {
        "museums": 9,
        "rooms": len(rooms),
        "sentences": sum(len(record.sentences) for record in records),
        "views": sum(len(room.views) for room in rooms),
        "images": 7,
        "images_hung": sum(len(room.images) for room in rooms),
        "videos": 4,
        "videos_hung": sum(len(room.videos) for room in rooms),
        "sentence_texts": sum(
            len(text.encode()) for m in records for text in m.sentence_texts or ()
        ),
        "sentence_rooms": sum(
            room >= 0 for m in records for room in m.sentence_rooms or ()
        ),
    }
    assert store.manifest.splits == {"train": 3, "val": 3, "test": 3}
    for kind, size in SIZES.items():
        assert store.feature_size(kind) == size
        assert store.feature_facts()[kind] == {
            "feature_size": size,
            "model": "model",
            "weights": "weights",
            "preprocessing": None,
            "pooling": None,
            "details": {},
        }
    sizes = {file.name: file.stat().st_size for file in store_path.iterdir()}
    del sizes["manifest.json"]
    assert {name: f.bytes for name, f in store.manifest.files.items()} == sizes


def test_the_arrays_are_plain_npy_files(store_path):
    store = open_store(store_path)
    np.testing.assert_array_equal(np.load(store_path / "views.npy"), store.views.values)


def test_the_same_museums_give_the_same_bytes(tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", iter(museums()))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_ragged_columns_refuse_owners_that_they_do_not_have():
    column = RaggedArray(np.arange(5), np.array([0, 2, 2, 5]))
    assert [column[i].tolist() for i in range(len(column))] == [[0, 1], [], [2, 3, 4]]
    assert column.lengths.tolist() == [2, 0, 3]
    for owner in (-1, 3):
        with pytest.raises(IndexError):
            column[owner]


def calls_of(call):
    """How many functions run, in Python and in C, while `call` does."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        call()
    finally:
        sys.setprofile(None)
    return calls


def test_opening_takes_as_many_steps_for_two_thousand_museums_as_for_two(tmp_path):
    views, sentences = np.ones((4, 4), np.float16), np.ones((22, 6), np.float16)
    counts = {}
    for size in (2, 2000):
        records = (
            MuseumRecord(
                f"museum-{i}",
                ("train", "test")[i % 2],
                f"theme-{i % 2}",
                sentences,
                (RoomRecord(views, videos=("videos-1",)),) * 5,
                ("text",) * 22,
            )
            for i in range(size)
        )
        path = tmp_path / f"store_{size}"
        write(path, records)
        store = open_store(path)  # imports what is imported late
        for array in (store.views.values, store.sentences.values, store.theme_index):
            assert isinstance(array.base, np.memmap)
        counts[size] = calls_of(lambda path=path: open_store(path))
    assert 0 < counts[2000] <= 1.1 * counts[2]


def change_manifest(path, **changes):
    file = path / "manifest.json"
    values = json.loads(file.read_text()) | changes
    checksums = ("checksum", "xxh3", "xxh3_checksum")
    said = {name: value for name, value in values.items() if name not in checksums}
    checksum = hashlib.sha256(json_text(said).encode()).hexdigest()
    file.write_text(json.dumps({**said, "checksum": checksum}))


def test_a_folder_without_a_store_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match="expected a feature store"):
            open_store(path)


def test_a_newer_format_is_refused_whatever_else_is_in_it(store_path):
    change_manifest(store_path, format_version=FORMAT_VERSION + 1, counts=None, new=1)
    with pytest.raises(ValueError, match="written by a newer version of hm3_jax"):
        open_store(store_path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "expected JSON"),
        ("[]", "found none"),
        ('{"dataset_name": "x"}', "with a format_version, found none"),
        ('{"format_version": 1}', "fields of format version 1, found 'themes'"),
        (b"\xff", "expected UTF-8"),
    ],
)
def test_another_manifest_is_refused(store_path, text, complaint):
    data = text if isinstance(text, bytes) else text.encode()
    (store_path / "manifest.json").write_bytes(data)
    with pytest.raises(ValueError, match=complaint) as caught:
        open_store(store_path)
    assert str(store_path / "manifest.json") in str(caught.value)


def test_a_manifest_with_an_unknown_field_is_refused(store_path):
    change_manifest(store_path, surprise=1)
    with pytest.raises(ValueError, match="surprise"):
        open_store(store_path)


@pytest.mark.parametrize("key", ["counts", "files"])
def test_a_manifest_that_lacks_an_entry_is_refused(store_path, key):
    change_manifest(store_path, **{key: {}})
    with pytest.raises(ValueError, match="expected an entry for"):
        open_store(store_path)


@pytest.mark.parametrize("name", ["views.npy", "split_val.npy", "museum_ids.txt"])
def test_a_shortened_file_is_named(store_path, name):
    file = store_path / name
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(
        ValueError, match=f"{name}: expected {size} bytes, found {size - 1}"
    ):
        open_store(store_path)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}: expected a file of {size}"):
        open_store(store_path)


def test_every_file_is_missed(store_path):
    for file in sorted(store_path.iterdir()):
        data = file.read_bytes()
        file.unlink()
        with pytest.raises(FileNotFoundError, match=file.name):
            open_store(store_path)
        file.write_bytes(data)
    open_store(store_path)


def test_an_array_of_another_shape_is_named(store_path):
    file = store_path / "theme_index.npy"
    file.write_bytes(file.read_bytes().replace(b"(9,)", b"(8,)"))
    with pytest.raises(ValueError, match=r"theme_index.npy: .*\(9,\) .*found \(8,\)"):
        open_store(store_path)


def test_a_file_that_is_no_array_is_named(store_path):
    file = store_path / "views.npy"
    file.write_bytes(b"\x80" * file.stat().st_size)
    with pytest.raises(ValueError, match="views.npy: expected a .npy array"):
        open_store(store_path)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"kind": "made up"}, "kind 'real' or 'synthetic', found 'made up'"),
        ({"dtype": "float64"}, "float16 or float32, found 'float64'"),
        ({"records": []}, "at least one museum, found none"),
        ({"facts": facts(("sentences", "views", "images"))}, "expected facts for"),
        ({"artworks": {"sounds": artwork_tables()["images"]}}, "found sounds"),
        ({"records": [museums()[0]] * 2}, "'museum-0': expected every id once"),
        ({"records": with_first(split="dev")}, "museum 'museum-0'.*found 'dev'"),
        ({"records": with_first(sentence_texts=None)}, "texts for all museums or"),
        ({"records": [*museums(3), *with_first(id="n", sentence_texts=None)]}, "all b"),
    ],
)
def test_what_a_store_must_not_hold_is_refused_and_leaves_nothing(
    tmp_path, changes, complaint
):
    with pytest.raises(ValueError, match=complaint):
        write(tmp_path / "store", **changes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "found"), [(1e5, "NaN or inf"), (1e-9, "only zeros")]
)
def test_values_that_float16_cannot_hold_are_refused(tmp_path, value, found):
    records = with_first(
        sentences=np.full((1, 6), value, np.float32), sentence_texts=("one",)
    )
    with pytest.raises(ValueError, match=f"'museum-0'.*float16 can hold.*{found}"):
        write(tmp_path / "small", records)
    write(tmp_path / "wide", records, dtype="float32")
    assert open_store(tmp_path / "wide").sentences[0][0, 0] == np.float32(value)


def test_messages_name_the_source_that_was_given(tmp_path):
    with pytest.raises(ValueError, match="^input/folder: museum 'museum-0'"):
        write(tmp_path / "store", with_first(theme=""), source="input/folder")
