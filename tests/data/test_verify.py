import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from hm3_jax.data.store import open_store
from hm3_jax.data.store_format import Manifest
from hm3_jax.data.verify import verify_store
from hm3_jax.files.facts import fast_checksum, file_facts
from tests.data.museum_sets import museums, write


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "store"
    write(path)
    return path


@pytest.fixture
def path(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "store")


def forge(path, name, change):
    """Changes an array and the manifest with it, as a faulty writer would."""
    file = path / name
    array = np.load(file)
    change(array)
    np.save(file, array)
    seal(path)


def seal(path, **changes):
    """Makes the manifest fit the files, with other values in it if given."""
    file = path / "manifest.json"
    manifest = Manifest.from_json(file.read_text(), file)
    files = {name: file_facts(path / name) for name in manifest.files}
    xxh3 = {name: fast_checksum(path / name) for name in files}
    manifest = dataclasses.replace(manifest, files=files, xxh3=xxh3, **changes)
    file.write_text(manifest.to_json())


def test_a_sound_store_has_no_problems(sound):
    assert verify_store(sound) == []


def test_every_flipped_bit_is_found_and_its_file_named(path):
    rng = np.random.default_rng(0)
    for file in sorted(path.iterdir()):
        data = file.read_bytes()
        # The first and last bytes, and some between.
        places = {0, len(data) - 1, *rng.integers(len(data), size=12).tolist()}
        for place in places:
            flipped = bytearray(data)
            flipped[place] ^= 1 << int(rng.integers(8))
            file.write_bytes(flipped)
            problems = verify_store(path)
            assert any(str(file) in problem for problem in problems), (file, place)
        file.write_bytes(data)
    assert verify_store(path) == []


def test_flipped_bits_all_over_the_manifest_are_found(path):
    file = path / "manifest.json"
    data = file.read_bytes()
    for place in range(0, len(data), 11):
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place % 8)
        file.write_bytes(flipped)
        problems = verify_store(path)
        assert any(str(file) in problem for problem in problems), place


def test_missing_short_and_foreign_files_are_named(path):
    (path / "views.npy").unlink()
    file = path / "museum_ids.txt"
    file.write_bytes(file.read_bytes()[:-3])
    (path / "notes.txt").write_text("mine")
    problems = "\n".join(verify_store(path))
    assert "views.npy: expected a file of" in problems
    assert "museum_ids.txt: expected the" in problems
    assert "notes.txt: expected only files of this store" in problems


def test_what_systems_leave_is_no_problem(path):
    for name in (".DS_Store", "Thumbs.db", "._views.npy"):
        (path / name).write_bytes(b"x")
    (path / "@eaDir").mkdir()
    assert verify_store(path) == []


def test_no_store_raises(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a feature store"):
        verify_store(tmp_path)


def test_an_unreadable_manifest_is_a_problem(path):
    (path / "manifest.json").write_bytes(b"\xff\xfe")
    (problem,) = verify_store(path)
    assert "manifest.json: expected UTF-8" in problem


def set_item(place, value):
    def change(array):
        array[place] = value

    return change


def swap(array):
    array[[1, 2]] = array[[2, 1]]


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("sentences.npy", set_item(-1, np.nan), "museum 'museum-8': expected finite"),
        ("sentences.npy", set_item(0, 0), "museum 'museum-0'.*row 0 holds only zeros"),
        ("views.npy", set_item(-1, np.inf), "museum 'museum-8', room .*row .* NaN or"),
        ("images.npy", set_item(3, 0), "'images-3': expected finite.*only zeros"),
        ("videos.npy", set_item((1, 2), np.nan), "'videos-1': expected finite"),
        ("images_hung.npy", set_item(0, 7), "museum 'museum-.*below 7, found 7"),
        ("videos_hung.npy", set_item(0, -1), "museum 'museum-.*below 4, found -1"),
        ("theme_index.npy", set_item(0, 4), "indices of 4 themes, each used, found 5"),
        ("theme_index.npy", set_item(slice(None), 1), "each used, found 1 from 1 to 1"),
        ("split_val.npy", set_item(0, 0), "'museum-0' in 2"),
        ("split_val.npy", set_item(0, 9), "split_val.npy: expected indices below 9"),
        ("sentences_offsets.npy", swap, "sentences_offsets.npy: expected offsets"),
        ("sentences_offsets.npy", set_item(0, 1), "found 1 to"),
        ("views_offsets.npy", set_item(1, 0), "at least 1, .* a step of 0"),
        ("views_offsets.npy", set_item(-1, 10**6), "found 0 to 1000000"),
        ("room_offsets.npy", set_item(1, 0), "room_offsets.npy: expected offsets"),
        ("images_hung_offsets.npy", set_item(-1, 0), "images_hung_offsets.npy: expec"),
        ("sentence_texts_offsets.npy", set_item(0, 1), "sentence_texts_offsets.npy: e"),
        ("sentence_texts.npy", set_item(5, 0xFF), "museum 'museum-0': expected UTF-8"),
        ("sentence_rooms.npy", set_item(-1, 4), "'museum-8': expected rooms .*found 4"),
        ("sentence_rooms.npy", set_item(-1, -2), "museum 'museum-8': .* -1, found -2"),
        ("sentence_rooms.npy", set_item(0, 0), "as many known rooms as manifest.json"),
    ],
)
def test_contradictions_are_found_though_the_checksums_fit(
    path, name, change, complaint
):
    forge(path, name, change)
    problems = verify_store(path)
    assert len(problems) == 1
    assert problems[0].startswith(f"{path}/")
    assert re.search(complaint, problems[0]), problems
    assert "\n" not in problems[0]


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("museum_ids.txt", b"museum-1", b"museum-2", "found 'museum-2' twice"),
        ("museum_ids.txt", b"museum-1\n", b"", "expected 9 ids, one per line, found 8"),
        ("image_ids.txt", b"images-0", b"images-1", "found 'images-1' twice"),
        ("video_ids.txt", b"videos-0", b"\xff", "4 ids, one per line, found 0"),
    ],
)
def test_faulty_ids_are_found(path, name, old, new, complaint):
    file = path / name
    file.write_bytes(file.read_bytes().replace(old, new))
    seal(path)
    (problem,) = verify_store(path)
    assert complaint in problem
    assert name in problem


def test_unsorted_themes_are_found(path):
    seal(path, themes=("still-life", "portrait", "marine", "genre"))
    (problem,) = verify_store(path)
    assert "manifest.json: expected sorted themes" in problem


def test_a_file_of_another_shape_is_found(path):
    file = path / "split_train.npy"
    np.save(file, np.arange(2))
    seal(path)
    (problem,) = verify_store(path)
    assert (
        "split_train.npy: expected an array of shape (3,) of int64, found (2,)"
        in problem
    )


def test_chunks_hide_nothing(path, monkeypatch):
    monkeypatch.setattr("hm3_jax.data.verify._CHUNK", 4)
    store = open_store(path)
    row = len(store.views.values) - 2
    forge(path, "views.npy", set_item(row, np.nan))
    (problem,) = verify_store(path)
    assert f"row {row} holds NaN" in problem


def test_the_manifest_says_what_its_text_says(sound):
    text = (sound / "manifest.json").read_text()
    manifest = Manifest.from_json(text, sound)
    assert manifest.to_json() == text
    assert json.loads(text)["checksum"]
    assert len(museums()) == manifest.counts["museums"]
