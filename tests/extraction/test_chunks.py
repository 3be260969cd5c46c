"""Chunks: cut completely, kept whole, and believed only if they are sound."""

import numpy as np
import pytest

from hm3_jax.extraction.chunks import (
    Chunk,
    EncodedChunk,
    cut,
    load_chunk,
    missing,
    save_chunk,
    write_whole,
)

CHUNK = Chunk("texts", 3, 12, 16)


def encoded():
    features = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    return EncodedChunk(features, {13: "broken: \u00e9\n"}, {15: 9}, "cpu")


@pytest.mark.parametrize("batch_size", [1, 2, 64])
@pytest.mark.parametrize(
    "counts",
    [
        {"texts": 0, "pictures": 0, "videos": 0},
        {"texts": 33, "pictures": 1, "videos": 0},
        {"texts": 5000, "pictures": 257, "videos": 40},
    ],
)
def test_every_item_is_in_one_chunk(counts, batch_size):
    chunks = cut(counts, batch_size)
    for kind, count in counts.items():
        items = [i for c in chunks if c.kind == kind for i in range(c.start, c.stop)]
        assert items == list(range(count))
    assert all(len(chunk) > 0 for chunk in chunks)
    assert len({chunk.name for chunk in chunks}) == len(chunks)


@pytest.mark.parametrize("shards", [1, 3, 4, 100])
def test_shards_share_all_chunks(shards):
    chunks = cut({"texts": 99, "pictures": 99, "videos": 9}, 1)
    shared = [chunk for i in range(shards) for chunk in chunks[i::shards]]
    assert sorted(shared, key=chunks.index) == list(chunks)


def test_a_chunk_comes_back_as_it_was(tmp_path):
    save_chunk(tmp_path, "run", CHUNK, encoded())
    loaded = load_chunk(tmp_path, "run", CHUNK)
    np.testing.assert_array_equal(loaded.features, encoded().features)
    assert loaded.features.dtype == np.float32
    assert (loaded.failures, loaded.cut) == ({13: "broken: \u00e9\n"}, {15: 9})
    assert loaded.device == "cpu"
    assert [path.name for path in tmp_path.iterdir()] == ["texts-000003"]


def test_a_chunk_of_failures_alone_comes_back(tmp_path):
    empty = EncodedChunk(np.empty((0, 5), np.float32), {12: "a"}, {}, "cpu")
    save_chunk(tmp_path, "run", CHUNK, empty)
    assert load_chunk(tmp_path, "run", CHUNK).features.shape == (0, 5)


def test_any_changed_byte_is_noticed(tmp_path):
    save_chunk(tmp_path, "run", CHUNK, encoded())
    file = tmp_path / CHUNK.name
    content = file.read_bytes()
    for place in range(0, len(content), 7):
        file.write_bytes(
            content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        )
        with pytest.raises(ValueError, match="expected the bytes that were written"):
            load_chunk(tmp_path, "run", CHUNK)
    file.write_bytes(content[:-4])
    with pytest.raises(ValueError, match="expected the bytes that were written"):
        load_chunk(tmp_path, "run", CHUNK)


@pytest.mark.parametrize(
    ("run", "chunk"), [("other", CHUNK), ("run", Chunk("texts", 3, 12, 17))]
)
def test_chunks_of_others_are_refused(tmp_path, run, chunk):
    save_chunk(tmp_path, "run", CHUNK, encoded())
    with pytest.raises(ValueError, match="expected a chunk of this run"):
        load_chunk(tmp_path, run, chunk)


def test_missing_are_those_without_a_file(tmp_path):
    chunks = cut({"texts": 99, "pictures": 9, "videos": 9}, 1)
    assert missing(tmp_path / "nowhere", chunks) == list(chunks)
    for chunk in chunks[::2]:
        save_chunk(tmp_path, "run", chunk, encoded())
    assert missing(tmp_path, chunks) == list(chunks[1::2])


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    write_whole(tmp_path / "file", b"old")

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
