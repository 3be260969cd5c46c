"""Damage to a store is noticed by whatever opens its features."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from hm3_jax.data import store_content
from hm3_jax.data.open_features import open_features
from hm3_jax.data.store import open_store
from hm3_jax.data.store_content import check_content, check_unchanged
from hm3_jax.data.store_format import Manifest
from tests.data.museum_sets import write

LONG_AGO = 1_500_000_000 * 10**9


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "store"
    write(path)
    return path


@pytest.fixture
def store(written, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # Files of a copy are young; they would not be remembered yet.
    monkeypatch.setattr(store_content, "_SETTLED", 0)
    return shutil.copytree(written, tmp_path / "store")


@pytest.fixture
def read(monkeypatch):
    """Names of the files that are read to be compared."""
    names = []

    def noting(function):
        def noted(file):
            names.append(file.name)
            return function(file)

        return noted

    for name in ("fast_checksum", "file_facts"):
        found = getattr(store_content, name)
        monkeypatch.setattr(store_content, name, noting(found))
    return names


def without_fast_checksums(store):
    """As an earlier version wrote it."""
    file = store / "manifest.json"
    manifest = Manifest.from_json(file.read_text(), file)
    file.write_text(dataclasses.replace(manifest, xxh3={}).to_json())
    assert "xxh3" not in file.read_text()


@pytest.mark.parametrize("earlier", [False, True])
def test_one_flipped_bit_of_any_file_is_noticed(store, earlier):
    if earlier:
        without_fast_checksums(store)
    rng = np.random.default_rng(0)
    for file in sorted(store.iterdir()):
        open_features(str(store))
        data = file.read_bytes()
        flipped = bytearray(data)
        flipped[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        file.write_bytes(flipped)
        with pytest.raises(ValueError) as caught:
            open_features(str(store))
        # An .npy file whose header says something else is named without its ending.
        assert str(file).removesuffix(".npy") in str(caught.value)
        assert "\n" not in str(caught.value)
        file.write_bytes(data)
    open_features(str(store))


def test_files_of_one_size_that_changed_places_are_noticed(store):
    open_features(str(store))
    views, other = store / "images_hung_offsets.npy", store / "videos_hung_offsets.npy"
    assert views.stat().st_size == other.stat().st_size
    views.rename(store / "x")
    other.rename(views)
    (store / "x").rename(other)
    with pytest.raises(ValueError, match="_hung_offsets.npy: "):
        open_features(str(store))


def test_a_manifest_that_was_edited_is_refused(store):
    file = store / "manifest.json"
    text = file.read_text()
    for old, new in (
        ('"kind": "real"', '"kind": "synthetic"'),
        ('"museums": 9', '"museums": 8'),
        ('"xxh3_checksum": "', '"xxh3_checksum": "0'),
        ('"checksum": "', '"checksum": "0'),
    ):
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))
        with pytest.raises(ValueError, match="damaged or edited: differs from its che"):
            open_store(store)
    values = json.loads(text)
    values["xxh3"]["views.npy"] = values["xxh3"]["sentences.npy"]
    file.write_text(json.dumps(values))
    with pytest.raises(ValueError, match="manifest.json: damaged or edited"):
        open_store(store)


def test_a_store_is_the_same_with_and_without_fast_checksums(store):
    before = open_store(store).manifest
    without_fast_checksums(store)
    after = open_store(store).manifest
    assert before.xxh3 and not after.xxh3
    assert set(before.xxh3) == set(before.files)
    assert before.checksum == after.checksum


def test_a_file_is_read_once_and_again_when_it_was_written_to(store, read):
    for _ in range(2):
        check_content(store, open_store(store).manifest)
    assert sorted(read) == sorted(open_store(store).manifest.files)
    read.clear()
    file = store / "views.npy"
    file.write_bytes(file.read_bytes())
    os.utime(file, ns=(LONG_AGO, LONG_AGO))
    open_features(str(store))
    assert read == ["views.npy"]
    # A copy is another store, and a damaged note is none.
    read.clear()
    open_features(str(shutil.copytree(store, store.with_name("copy"))))
    assert len(read) == len(open_store(store).manifest.files)
    notes = list(store.parent.glob("cache/hm3_jax/checked_stores/*.json"))
    assert len(notes) == 2
    for note in notes:
        note.write_text("{")
    read.clear()
    open_features(str(store))
    assert len(read) == len(open_store(store).manifest.files)


def test_a_file_that_was_only_just_written_is_read_again(store, read, monkeypatch):
    # Another write may give it the same time.
    monkeypatch.setattr(store_content, "_SETTLED", 3600)
    for _ in range(2):
        open_features(str(store))
    assert len(read) == 2 * len(open_store(store).manifest.files)


@pytest.mark.parametrize("earlier", [False, True])
def test_there_need_not_be_a_cache(store, read, monkeypatch, earlier):
    if earlier:
        without_fast_checksums(store)

    def none(kind):
        raise FileNotFoundError(kind)

    monkeypatch.setattr(store_content, "user_cache", none)
    for _ in range(2):
        open_features(str(store))
    assert len(read) == 2 * len(open_store(store).manifest.files)
    # Nor one that can be written to: a file is where its folder would be.
    (store.parent / "file").write_text("")
    monkeypatch.setattr(
        store_content, "user_cache", lambda kind: store.parent / "file" / kind
    )
    open_features(str(store))


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("sentences_offsets.npy", 10**6, "expected offsets from 0"),
        ("room_offsets.npy", -1, "expected offsets from 0"),
        ("images_hung.npy", 7, "expected rows of images.npy below 7, found 7"),
        ("theme_index.npy", 4, "expected the indices of 4 themes"),
        ("split_val.npy", 9, "expected indices below 9"),
        ("sentence_rooms.npy", 99, "expected rooms from 0 to"),
    ],
)
def test_what_leads_out_of_the_store_is_refused_unread(store, name, value, complaint):
    array = np.load(store / name, mmap_mode="r+")
    array[-1] = value
    array.flush()
    with pytest.raises(ValueError, match=f"{name}: .*{complaint}"):
        open_store(store)


def test_another_dtype_is_refused(store):
    values = np.load(store / "theme_index.npy")
    np.save(store / "theme_index.npy", values.view(np.float32))
    with pytest.raises(ValueError, match="of int32, found .* of float32"):
        open_store(store)


@pytest.mark.parametrize("name", ["views.npy", "museum_ids.txt", "theme_index.npy"])
def test_a_store_that_is_written_to_while_it_is_used_is_refused(store, name):
    file = store / name
    os.utime(file, ns=(LONG_AGO, LONG_AGO))
    opened = open_features(str(store))
    check_unchanged(opened)
    with file.open("r+b") as again:
        again.seek(200)
        again.write(b"x")
    with pytest.raises(ValueError, match=f"{name}: written to while it was in use"):
        check_unchanged(opened)


def test_a_store_whose_place_another_takes_is_still_there(store, written, tmp_path):
    opened = open_features(str(store))
    views = np.array(opened.views.values)
    store.rename(tmp_path / "former")
    check_unchanged(opened)  # removed
    with pytest.raises(FileNotFoundError):
        check_unchanged(opened, in_place=True)
    shutil.copytree(written, store)
    (store / "museum_ids.txt").write_text("of another store\n")
    check_unchanged(opened)
    with pytest.raises(ValueError, match="written to while it was in use"):
        check_unchanged(opened, in_place=True)
    assert np.array_equal(opened.views.values, views)
    assert len(opened.ids) == len(opened.theme_index)


def test_whoever_uses_features_has_them_checked(repository):
    callers = {
        str(file.relative_to(repository))
        for file in (repository / "hm3_jax").rglob("*.py")
        if "open_store(" in file.read_text().replace("def open_store(", "")
    }
    assert callers == {
        "hm3_jax/app/library.py",  # after it was written
        "hm3_jax/data/open_features.py",  # checks
        "hm3_jax/extraction/former.py",  # checks
        "hm3_jax/extraction/run_facts.py",  # reads the manifest alone
        "hm3_jax/inspect_features.py",  # after verify_store
    }
