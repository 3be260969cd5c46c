"""Making, changing, opening and damaging an index."""

import dataclasses
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.files.facts import file_facts
from hm3_jax.retrieval import index as opening
from hm3_jax.retrieval import index_writer
from hm3_jax.retrieval.exact import unit
from hm3_jax.retrieval.index import Index, open_index, verify_index
from hm3_jax.retrieval.index_format import ONE_VECTOR, IndexFacts
from hm3_jax.retrieval.index_writer import append_museums, create_index, remove_museums
from hm3_jax.retrieval.loaded import load_index
from hm3_jax.retrieval.museums import (
    KnownMuseums,
    Museums,
    of_one_vector,
    pack_details,
)
from hm3_jax.retrieval.words import Told, write_words
from tests.retrieval.small_index import write_small_index

SIZE = 6
FACTS = IndexFacts({"a": 1, "b": {"c": [2]}}, {"name": "words"}, {"from": "a test"})
FILES = {"tower.bin": bytes(range(200))}
THEMES = ("genre", "marine", "portrait")
NAMES = [column.name for column in ONE_VECTOR.columns]


def some_museums(first: int, count: int, themes=THEMES) -> Museums:
    """Museums with numbers from `first` on, of one to three rooms."""
    rng = np.random.default_rng(first)
    rooms = 1 + np.arange(first, first + count) % 3
    details, offsets = pack_details(
        [
            {"description": [f"Ümlaut {i}"] * (i % 4)}
            for i in range(first, first + count)
        ]
    )
    return Museums(
        ids=[f"museum {i}" for i in range(first, first + count)],
        themes=themes,
        theme_index=(np.arange(first, first + count) % len(themes)).astype(np.int32),
        vectors=unit(rng.standard_normal((count, SIZE))),
        room_offsets=np.concatenate([[0], np.cumsum(rooms)]),
        rooms=unit(rng.standard_normal((rooms.sum(), SIZE))).astype(np.float16),
        details=details,
        details_offsets=offsets,
    )


def as_dictionary(museums: KnownMuseums) -> dict[str, tuple]:
    """What is known about each museum, by its id."""
    museums = of_one_vector(museums, "museums")
    return {
        museums.ids[row]: (
            museums.themes[museums.theme_index[row]],
            museums.vectors[row].tobytes(),
            museums.rooms_of(row).tobytes(),
            str(museums.detail(row)),
        )
        for row in range(len(museums))
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_index(tmp_path / "index", some_museums(0, 20), FACTS, FILES)
    return tmp_path / "index"


def test_what_is_put_in_comes_out(path):
    index = open_index(path)
    wanted = some_museums(0, 20)
    assert as_dictionary(index.museums) == as_dictionary(wanted)
    assert list(index.museums.ids) == list(wanted.ids)
    assert (index.files, index.manifest.facts) == (FILES, FACTS)
    assert index.map.shape == (20, 2) and np.abs(index.map).max() == 1
    assert index.row("museum 7") == 7
    assert not index.museums.columns["vectors"].flags.writeable
    verify_index(index)


def test_nothing_but_the_index_is_left(path):
    assert sorted(p.name for p in path.iterdir()) == ["generation-1", "manifest.json"]
    assert [p.name for p in path.parent.iterdir()] == ["index"]


def test_museums_are_added_behind_those_there(path):
    before = open_index(path)
    added = some_museums(20, 5, ("abstract", "marine"))
    append_museums(path, added, FACTS)
    index = open_index(path)
    assert index.manifest.themes == ("abstract", "genre", "marine", "portrait")
    both = as_dictionary(some_museums(0, 20)) | as_dictionary(added)
    assert as_dictionary(index.museums) == both
    assert list(index.museums.ids) == list(both)
    assert index.files == FILES and len(index.map) == 25
    verify_index(index)
    # What was open stays as it was.
    assert as_dictionary(before.museums) == as_dictionary(some_museums(0, 20))


def test_museums_are_removed_and_their_themes(path):
    marine = [f"museum {i}" for i in range(1, 20, 3)]
    remove_museums(path, marine)
    index = open_index(path)
    wanted = as_dictionary(some_museums(0, 20))
    for name in marine:
        del wanted[name]
    assert as_dictionary(index.museums) == wanted
    assert index.manifest.themes == ("genre", "portrait")
    names = sorted(p.name for p in path.iterdir())
    assert names == [".lock", "generation-2", "manifest.json"]


def test_a_change_that_is_given_again_takes_away_what_a_kill_left(path):
    """The first has made its generation count, but not removed the former."""
    shutil.copytree(path / "generation-1", path.parent / "former")
    remove_museums(path, ["museum 1"])
    (path.parent / "former").rename(path / "generation-1")
    with pytest.raises(ValueError, match="museum 1"):
        remove_museums(path, ["museum 1"])
    assert sorted(p.name for p in path.iterdir()) == [
        ".lock",
        "generation-2",
        "manifest.json",
    ]


def test_words_follow_the_museums(path):
    def found(text: str) -> list[str]:
        index = open_index(path)
        loaded = load_index(index)
        assert index.words is not None and loaded.words is not None
        rows = index.words.find(text, 99).rows
        assert loaded.words.find(text, 99).rows == rows
        return [index.museums.ids[row] for row in rows]

    # Every fourth has no description; its id is found all the same.
    assert found("umlaut 7") == ["museum 7"] and found("4") == ["museum 4"]
    append_museums(path, some_museums(20, 5), FACTS)
    assert found("umlaut 23") == ["museum 23"]
    remove_museums(path, ["museum 0", "museum 7"])
    assert found("umlaut 23") == ["museum 23"] and found("umlaut 7")[:1] != ["museum 7"]
    verify_index(open_index(path))
    remove_museums(path, [f"museum {i}" for i in range(1, 25) if i % 4 and i != 7])
    # Only those without descriptions are left.
    assert open_index(path).words is None


def test_words_of_other_museums_are_not_used(path):
    before = open_index(path)
    remove_museums(path, ["museum 0"])
    manifest = open_index(path).manifest
    words = before.path / manifest.generation / "words.sqlite"
    write_words(words.with_name("other"), [Told("a", "", ["One."])] * 20)
    words.with_name("other").replace(words)
    files = {**manifest.files, words.name: file_facts(words)}
    (path / "manifest.json").write_text(
        dataclasses.replace(manifest, files=files).to_json()
    )
    assert open_index(path).words is None


def test_many_chunks_are_as_one(path, tmp_path, monkeypatch):
    monkeypatch.setattr("hm3_jax.retrieval.generation._CHUNK", 3)
    create_index(tmp_path / "other", some_museums(0, 20), FACTS, FILES)
    wanted = open_index(path).manifest
    assert open_index(tmp_path / "other").manifest == wanted


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda path: append_museums(path, some_museums(18, 4), FACTS),
            "expected museums that are not in the index, found 'museum 18', which is, "
            "and 1 more",
        ),
        (
            lambda path: append_museums(
                path,
                some_museums(30, 1),
                dataclasses.replace(FACTS, model={"a": 1, "b": {"c": [3]}}),
            ),
            r"the index was made with model b.c \[2\], found \[3\]",
        ),
        (
            lambda path: append_museums(
                path, some_museums(30, 1), dataclasses.replace(FACTS, encoder={})
            ),
            "the index was made with encoder name 'words', found None",
        ),
        (
            lambda path: remove_museums(path, ["museum 3", "nothing"]),
            "expected the id of a museum in the index, found 'nothing'",
        ),
        (
            lambda path: remove_museums(path, [f"museum {i}" for i in range(20)]),
            "expected museums for the index, found none",
        ),
        (lambda path: open_index(path).row("m"), "expected the id of a museum"),
    ],
)
def test_wrong_changes_leave_the_index_alone(path, change, complaint):
    before = (path / "manifest.json").read_bytes()
    with pytest.raises(ValueError, match=complaint):
        change(path)
    assert (path / "manifest.json").read_bytes() == before
    verify_index(open_index(path))
    assert not [p for p in path.iterdir() if p.name.startswith(".partial")]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"ids": ["a", "b", "a"]}, "expected each id once, found 'a' twice"),
        ({"ids": ["a", "b\nc", "d"]}, "expected an id of one line"),
        ({"vectors": np.eye(3, SIZE, dtype=np.float32) * 2}, "length 1, found 2"),
        ({"vectors": np.full((3, SIZE), np.nan, np.float32)}, "length 1, found nan"),
    ],
)
def test_wrong_museums_are_refused(tmp_path, wrong, complaint):
    museums = dataclasses.replace(some_museums(0, 3), **wrong)
    with pytest.raises(ValueError, match=complaint):
        create_index(tmp_path / "index", museums, FACTS, {})
    assert list(tmp_path.iterdir()) == []


def test_an_index_is_not_overwritten(path):
    with pytest.raises(FileExistsError, match="it exists"):
        create_index(path, some_museums(0, 3), FACTS, {})


def test_no_index_is_told_from_an_index(tmp_path):
    for change in (open_index, lambda path: remove_museums(path, ["a"])):
        with pytest.raises(FileNotFoundError, match=r"found no manifest\.json there"):
            change(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_index_in_a_collection_is_named(path):
    with pytest.raises(FileNotFoundError, match=rf"there \({path} has one\)$"):
        open_index(path.parent)


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


FILE_NAMES = [
    "details.npy",
    "details_offsets.npy",
    "map.npy",
    "museum_ids.txt",
    "room_offsets.npy",
    "rooms.npy",
    "theme_index.npy",
    "tower.bin",
    "vectors.npy",
    "words.sqlite",
]


@pytest.mark.parametrize("name", FILE_NAMES)
def test_damaged_files_are_named(path, name):
    file = path / "generation-1" / name
    whole = file.read_bytes()
    flip(file)
    with pytest.raises(ValueError, match=f"{name}: damaged: expected SHA-256"):
        open_index(path)
    file.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=f"{name}: expected {len(whole)} bytes, found"):
        open_index(path)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}: expected a file of"):
        open_index(path)


def test_those_are_all_files(path):
    assert sorted(open_index(path).manifest.files) == FILE_NAMES


@pytest.mark.parametrize("place", np.linspace(0, 1, 12))
def test_a_damaged_manifest_is_refused(path, place):
    file = path / "manifest.json"
    data = bytearray(file.read_bytes())
    data[int(place * (len(data) - 2))] ^= 4
    file.write_bytes(data)
    with pytest.raises(ValueError, match="manifest.json"):
        open_index(path)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "..", ""])
def test_names_outside_of_the_index_are_refused(path, name):
    manifest = open_index(path).manifest
    files = {**manifest.files, name: manifest.files["tower.bin"]}
    for wrong in ({"generation": name}, {"files": files}):
        # With a checksum that fits.
        text = dataclasses.replace(manifest, **wrong).to_json()
        (path / "manifest.json").write_text(text)
        with pytest.raises(ValueError, match="expected files of its own folder, found"):
            open_index(path)


def test_damaged_details_are_not_the_fault_of_a_query(path, monkeypatch):
    # As in an index whose files are too large to be checked when it is opened.
    monkeypatch.setattr(opening, "_CHECKED_BYTES", 0)
    file = path / "generation-1" / "details.npy"
    file.write_bytes(file.read_bytes().replace(b"description", b'descr"ption'))
    with pytest.raises(RuntimeError, match="details of museum 'museum 4': damaged"):
        open_index(path).museums.detail(4)


def test_large_files_are_checked_before_they_are_copied(path, monkeypatch):
    monkeypatch.setattr(opening, "_CHECKED_BYTES", 0)
    flip(path / "generation-1" / "vectors.npy")
    index = open_index(path)
    with pytest.raises(ValueError, match="vectors.npy: damaged"):
        verify_index(index)
    with pytest.raises(ValueError, match="vectors.npy: damaged"):
        remove_museums(path, ["museum 1"])


class Killed(BaseException):
    """Ends a change as a kill would, as far as the folder is concerned."""


@pytest.mark.parametrize("operation", ["rename", "replace", "fsync"])
@pytest.mark.parametrize("number", [0, 1, 4])
def test_a_killed_change_leaves_the_index(path, monkeypatch, operation, number):
    calls, real = [0], getattr(os, operation)

    def kill(*args, **kwargs):
        calls[0] += 1
        if calls[0] > number:
            raise Killed
        return real(*args, **kwargs)

    added = some_museums(20, 5)
    with monkeypatch.context() as patch:
        patch.setattr(os, operation, kill)
        # Nothing is tidied up after a kill.
        patch.setattr(index_writer.shutil, "rmtree", lambda *args, **kwargs: None)
        try:
            append_museums(path, added, FACTS)
        except Killed:
            pass
    index = open_index(path)
    verify_index(index)
    assert len(index.museums) in (20, 25)
    if len(index.museums) == 20:
        append_museums(path, added, FACTS)
    remove_museums(path, ["museum 0"])
    assert len(open_index(path).museums) == 24
    assert len(list(path.iterdir())) == 3


def test_readers_and_writers_get_along(path):
    faults: list[BaseException] = []
    writing = threading.Event()

    def read():
        try:
            while not writing.is_set():
                assert len(open_index(path).museums) in (20, 21)
        except BaseException as error:
            faults.append(error)

    def write(i: int):
        try:
            for _ in range(4):
                append_museums(path, some_museums(20 + i, 1), FACTS)
                remove_museums(path, [f"museum {20 + i}"])
        except BaseException as error:
            faults.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    write(0)
    writing.set()
    reader.join()
    assert faults == []


def test_a_loaded_index_does_not_need_its_files(tmp_path: Path) -> None:
    path = tmp_path / "index"
    write_small_index(path)
    opened = open_index(path)
    loaded = load_index(opened)
    wanted = {name: array_of(opened, name).copy() for name in NAMES}
    for file in path.glob("*/*.npy"):
        with file.open("r+b") as damaged:  # the same file, which may be mapped
            damaged.truncate(0)
    for name in NAMES:
        array = array_of(loaded, name)
        np.testing.assert_array_equal(array, wanted[name], strict=True)
        assert not array.flags.writeable
    assert loaded.museums.ids == opened.museums.ids
    assert loaded.museums.detail(3)["title"] == "Museum 3"


@pytest.mark.parametrize("name", NAMES)
def test_an_index_that_changes_before_it_is_loaded_is_damaged(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "index"
    write_small_index(path)
    index = open_index(path)
    (file,) = path.glob(f"*/{name}.npy")
    with file.open("r+b") as damaged:
        damaged.seek(-4, 2)
        damaged.write(b"\xf0\xf0\xf0\xf0")
    with pytest.raises(ValueError, match=f"{name}.npy: damaged: expected SHA-256"):
        load_index(index)


def array_of(index: Index, name: str) -> np.ndarray:
    return index.map if name == "map" else index.museums.columns[name]
