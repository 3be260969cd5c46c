"""TFDS data sets as stores again: equal bytes, and whatever may be wrong."""

import dataclasses
import shutil

import numpy as np
import pytest

from hm3_jax.data.museum import RoomRecord
from hm3_jax.data.store_format import FeatureFacts
from hm3_jax.data.tfds_find import find_published
from hm3_jax.data.tfds_reader import unpack
from hm3_jax.data.verify import verify_store
from tests.data import tfds_sets
from tests.data.museum_sets import SIZES, artwork_tables, contents, facts, museums

pytest.importorskip("array_record")
pytest.importorskip("tensorflow_datasets")


def without_texts():
    return [dataclasses.replace(m, sentence_texts=None) for m in museums()]


def without_rooms_of_sentences():
    return [dataclasses.replace(m, sentence_rooms=None) for m in museums()]


def of_one_split():
    return [dataclasses.replace(m, split="test") for m in museums()]


def without_artworks():
    return [
        dataclasses.replace(m, rooms=tuple(RoomRecord(room.views) for room in m.rooms))
        for m in museums()
    ]


def of_odd_names():
    """Names that line and label files of other makers would strip or split."""
    return [
        dataclasses.replace(
            museum,
            id=f" {museum.id}\u3000 ",
            theme=(" ", "a ", "a", "展覽,;:")[i % 4],
            sentence_texts=("", "two\nlines\0\0", " ", "\x00", "ß")[
                : len(museum.sentences)
            ],
        )
        for i, museum in enumerate(museums())
    ]


CASES = {
    "all": {},
    "without texts": {"records": without_texts()},
    "without rooms of sentences": {"records": without_rooms_of_sentences()},
    "one split": {"records": of_one_split()},
    "odd names": {"records": of_odd_names()},
    "many": {"records": museums(100, seed=3)},
    "float32": {"dtype": "float32"},
    "report": {"attachments": {"extraction_report.json": "{}\n"}},
    "synthetic": {"kind": "synthetic", "origin": {"seed": 3, "of": [1, {"a": None}]}},
    "extraction report": {
        "attachments": {"extraction_report.json": '{"skipped": ["é\\u0000"]}\n'}
    },
    "without artworks": {
        "records": without_artworks(),
        "facts": facts(("sentences", "views")),
        "artworks": {},
    },
    "images alone": {
        "records": [
            dataclasses.replace(
                m, rooms=tuple(dataclasses.replace(r, videos=()) for r in m.rooms)
            )
            for m in museums()
        ],
        "facts": facts(("sentences", "views", "images")),
        "artworks": {"images": artwork_tables()["images"]},
    },
    "all facts": {
        "facts": {
            kind: FeatureFacts(size, "m", "w", "p", "mean", {"frames": 32, "é": [1.5]})
            for kind, size in SIZES.items()
        }
    },
}


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_the_store_comes_back_byte_for_byte(tmp_path, changes):
    folder = tfds_sets.publish(tmp_path, **changes)
    seen = []
    output = tmp_path / "a" / "again"
    manifest = unpack(
        find_published(str(folder)), output, watch=lambda *done: seen.append(done)
    )
    assert contents(output) == contents(tmp_path / "store")
    assert verify_store(output) == []
    count = manifest.counts["museums"]
    assert seen == [(done, count) for done in range(1, count + 1)]
    assert [path.name for path in output.parent.iterdir()] == ["again"]


def test_an_existing_store_is_kept(tmp_path):
    published = find_published(str(tfds_sets.publish(tmp_path)))
    before = contents(tmp_path / "store")
    with pytest.raises(FileExistsError, match="store: expected a path"):
        unpack(published, tmp_path / "store")

    def rival(done, total):
        if done == total:
            (tmp_path / "rival").mkdir()

    with pytest.raises(FileExistsError, match="in the meantime"):
        unpack(published, tmp_path / "rival", watch=rival)
    assert contents(tmp_path / "store") == before
    assert {p.name for p in tmp_path.iterdir()} == {"data", "store", "rival"}


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    return tfds_sets.publish(tmp_path_factory.mktemp("intact"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A data set of the same shapes and other sentences."""
    records = [
        dataclasses.replace(m, sentences=m.sentences + np.float32(0.5))
        for m in museums()
    ]
    return tfds_sets.publish(tmp_path_factory.mktemp("other"), records)


@pytest.fixture
def folder(intact, tmp_path):
    """A copy to be damaged."""
    return shutil.copytree(intact, tmp_path / "data" / "small" / "1.0.0")


def shard(folder, split="train"):
    return folder / f"small-{split}.array_record-00000"


def halve(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


DAMAGE = {
    "no manifest": (
        lambda f: (f / "store_manifest.json").unlink(),
        "1.0.0: expected a TFDS data set made by hm3_jax.export_features, found none",
    ),
    "changed manifest": (
        lambda f: change(f / "store_manifest.json", '"weights",', '"others",'),
        "store_manifest.json: damaged or edited: differs from its checksum",
    ),
    "no longer a manifest": (
        lambda f: halve(f / "store_manifest.json"),
        "store_manifest.json: expected JSON",
    ),
    "binary manifest": (
        lambda f: (f / "store_manifest.json").write_bytes(b"\xff\xfe"),
        "store_manifest.json: expected",
    ),
    "no images": (
        lambda f: (f / "images.npy").unlink(),
        "images.npy: expected a file, found none",
    ),
    "half the ids": (
        lambda f: halve(f / "video_ids.txt"),
        "video_ids.txt: expected the file of the store",
    ),
    "no features": (
        lambda f: (f / "features.json").unlink(),
        "1.0.0: expected a TFDS data set, found",
    ),
    "changed sizes": (
        lambda f: change(f / "dataset_info.json", '"3"', '"2"'),
        r"1.0.0: expected splits of \{'train': 3, .* found \{.*'train': 2",
    ),
    "info is no JSON": (
        lambda f: halve(f / "dataset_info.json"),
        "1.0.0: expected a TFDS data set, found",
    ),
    "no records": (
        lambda f: shard(f).unlink(),
        "train.array_record-00000: expected an ArrayRecord file, found none",
    ),
    "half the records": (lambda f: halve(shard(f)), "1.0.0: .*expected"),
    "empty records": (
        lambda f: shard(f).write_bytes(b""),
        "train, example 0: expected a museum",
    ),
    "text as records": (
        lambda f: shard(f, "test").write_text("museum\n" * 20_000),
        "1.0.0: .*expected",
    ),
    "a split twice": (
        lambda f: shutil.copy(shard(f, "test"), shard(f)),
        "1.0.0: expected museum number 0, found 1",
    ),
}


@pytest.mark.parametrize(("damage", "complaint"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_named(folder, tmp_path, damage, complaint):
    damage(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=complaint):
        unpack(find_published(str(folder)), tmp_path / "again")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_other_museums_are_noticed(folder, other, tmp_path):
    for split in ("train", "val", "test"):
        shutil.copy(shard(other, split), shard(folder, split))
    with pytest.raises(ValueError, match="found others .*files, sentences.npy would"):
        unpack(find_published(str(folder)), tmp_path / "again")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_changed_byte_is_noticed_or_changes_nothing(folder, tmp_path):
    published = find_published(str(folder))
    intact = shard(folder).read_bytes()
    used = np.flatnonzero(np.frombuffer(intact, np.uint8))
    store, noticed = None, 0
    for place in np.random.default_rng(0).choice(used, size=25, replace=False):
        changed = bytearray(intact)
        changed[place] ^= 16
        shard(folder).write_bytes(changed)
        output = tmp_path / f"again-{place}"
        try:
            unpack(published, output)
        except ValueError as error:
            assert str(folder) in str(error)
            assert not output.exists()
            noticed += 1
        else:
            store = store or contents(output)
            assert contents(output) == store
            assert verify_store(output) == []
    assert noticed > 12
