"""What failed is tried again, and a finished store takes what it has not."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.data.store import open_store
from hm3_jax.data.verify import verify_store
from hm3_jax.extraction import run as run_module
from tests.extraction.museum_folder import read_lines, write_lines, write_museums
from tests.extraction.runs import contents, run

pytest.importorskip("open_clip")
pytest.importorskip("av")

PICTURE, VIDEO = "museums/0/room_0/view_0.jpg", "clips/clip_1.mp4"


@pytest.fixture
def museums(tmp_path) -> Path:
    return write_museums(tmp_path / "museums", 4)


@pytest.fixture
def spoilt(museums):
    """Spoils a picture and a video; the function it gives repairs them."""
    whole = {name: (museums.parent / name).read_bytes() for name in (PICTURE, VIDEO)}
    (museums.parent / PICTURE).write_bytes(whole[PICTURE][:-200])
    (museums.parent / VIDEO).unlink()

    def repair(*names):
        for name in names or whole:
            (museums.parent / name).write_bytes(whole[name])

    return repair


@pytest.fixture
def encoded(monkeypatch):
    """How many pictures, frames and texts the model was given."""
    from hm3_jax.extraction.clip_model import ClipModel

    given = {"pictures": 0, "tokens": 0}
    for kind in given:
        real = getattr(ClipModel, f"encode_{kind}")

        def counting(self, batch, kind=kind, real=real):
            given[kind] += len(batch)
            return real(self, batch)

        monkeypatch.setattr(ClipModel, f"encode_{kind}", counting)
    return given


def skipped(store: Path) -> list[str]:
    report = json.loads((store / "extraction_report.json").read_text())
    return [entry["item"] for entry in report["skipped"]]


def same(store: Path, wanted: Path) -> None:
    """Both hold the same museums and, but for the last bits, the same features."""
    assert verify_store(store) == []
    found, other = open_store(store), open_store(wanted)
    assert found.ids == other.ids
    assert found.manifest.counts == other.manifest.counts
    assert found.feature_facts() == other.feature_facts()
    np.testing.assert_array_equal(found.room_offsets, other.room_offsets)
    for name in ("sentences", "views"):
        a, b = getattr(found, name), getattr(other, name)
        np.testing.assert_array_equal(a.offsets, b.offsets)
        np.testing.assert_allclose(a.values, b.values, rtol=0, atol=1e-5)
    for kind in ("images", "videos"):
        a, b = found.artworks(kind), other.artworks(kind)
        assert a is not None and b is not None and a.ids == b.ids
        np.testing.assert_array_equal(a.hung.values, b.hung.values)
        np.testing.assert_allclose(a.table, b.table, rtol=0, atol=1e-5)
    for number in range(len(found.ids)):
        assert found.sentence_texts(number) == other.sentence_texts(number)


def test_an_extraction_that_goes_on_tries_again_what_failed(
    museums, spoilt, clip_folder, tmp_path
):
    run(museums, tmp_path / "store", clip_folder, shards=2)
    spoilt()
    lines = []
    run(museums, tmp_path / "store", clip_folder, lines=lines)
    assert skipped(tmp_path / "store") == []
    run(museums, tmp_path / "whole", clip_folder)
    # The chunks of what failed are encoded as a whole: to the last bit.
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")


def test_what_fails_again_is_said_again(museums, spoilt, clip_folder, tmp_path):
    for index in (0, 1):
        run(museums, tmp_path / "store", clip_folder, shards=2, index=index)
    chunks = tmp_path / "store.extraction" / "chunks"
    before = {path: path.stat().st_mtime_ns for path in chunks.iterdir()}
    for index in (0, 1):
        run(museums, tmp_path / "store", clip_folder, shards=2, index=index)
    assert {path: path.stat().st_mtime_ns for path in chunks.iterdir()} == before
    run(museums, tmp_path / "store", clip_folder, joined=True)
    assert skipped(tmp_path / "store") == [PICTURE, VIDEO]


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_finished_store_takes_what_was_skipped(
    museums, spoilt, clip_folder, tmp_path, encoded, shards, dtype
):
    store, options = tmp_path / "store", {"dtype": dtype}
    run(museums, store, clip_folder, **options)
    assert skipped(store) == [PICTURE, VIDEO]
    spoilt()
    encoded |= {"pictures": 0, "tokens": 0}
    for index in range(shards):
        run(museums, store, clip_folder, shards=shards, index=index, **options)
    if shards > 1:
        run(museums, store, clip_folder, joined=True, **options)
    # The picture, and the three frames of the video.
    assert encoded == {"pictures": 1 + 3, "tokens": 0}
    assert skipped(store) == []
    assert {path.name for path in tmp_path.iterdir()} == {"museums", "store"}
    if dtype == "float32":
        run(museums, tmp_path / "whole", clip_folder)
        same(store, tmp_path / "whole")


def test_what_still_fails_stays_skipped(museums, spoilt, clip_folder, tmp_path):
    store = tmp_path / "store"
    run(museums, store, clip_folder)
    spoilt(PICTURE)
    run(museums, store, clip_folder)
    assert skipped(store) == [VIDEO]
    run(museums, store, clip_folder)
    assert skipped(store) == [VIDEO]
    assert verify_store(store) == []


def test_a_finished_store_takes_what_was_added(museums, clip_folder, tmp_path, encoded):
    store, lines = tmp_path / "store", read_lines(museums)
    write_lines(museums, lines[:2])
    run(museums, store, clip_folder)
    # A museum before the others, and one behind; a text more in one that was there.
    lines[0]["description"].append("A sentence that nobody had.")
    write_lines(museums, [lines[2], *lines[:2], lines[3]])
    encoded |= {"pictures": 0, "tokens": 0}
    run(museums, store, clip_folder)
    listed = {text for museum in lines for text in museum["description"]}
    had = {text for museum in lines[:2] for text in museum["description"]}
    had.remove("A sentence that nobody had.")
    assert encoded == {"pictures": 8, "tokens": len(listed - had)}
    run(museums, tmp_path / "whole", clip_folder)
    same(store, tmp_path / "whole")


def test_a_list_without_the_stores_museums_is_refused(museums, clip_folder, tmp_path):
    run(museums, tmp_path / "store", clip_folder)
    before = contents(tmp_path / "store")
    write_lines(museums, read_lines(museums)[1:])
    with pytest.raises(FileExistsError, match=r"1 museum not in .*'museum-0'"):
        run(museums, tmp_path / "store", clip_folder)
    assert contents(tmp_path / "store") == before


def test_a_damaged_store_is_not_added_to(museums, spoilt, clip_folder, tmp_path):
    run(museums, tmp_path / "store", clip_folder)
    views = tmp_path / "store" / "views.npy"
    content = bytearray(views.read_bytes())
    content[-1] ^= 1
    views.write_bytes(content)
    spoilt()
    with pytest.raises(ValueError, match=r"views\.npy"):
        run(museums, tmp_path / "store", clip_folder)


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_store_that_is_added_to_is_never_lost(
    museums, spoilt, clip_folder, tmp_path, monkeypatch, fails_at
):
    store, renames = tmp_path / "store", []
    run(museums, store, clip_folder)
    spoilt()
    real = run_module.WorkFolder.put_in_place

    def interrupted(self, finished, output):
        import os

        rename = os.rename

        def count(*names):
            renames.append(names)
            if len(renames) == fails_at:
                raise KeyboardInterrupt
            rename(*names)

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", count)
            real(self, finished, output)

    monkeypatch.setattr(run_module.WorkFolder, "put_in_place", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(museums, store, clip_folder)
    monkeypatch.setattr(run_module.WorkFolder, "put_in_place", real)
    assert store.exists() == (fails_at == 1)
    run(museums, store, clip_folder)
    assert skipped(store) == [] and verify_store(store) == []
    assert {path.name for path in tmp_path.iterdir()} == {"museums", "store"}


def test_a_damaged_video_gives_what_decodes_and_is_read_again(
    museums, clip_folder, tmp_path
):
    from tests.extraction.clips_av import flat_frames, write_video

    path = museums.parent / VIDEO
    noise = np.random.default_rng(0).integers(0, 256, (30, 48, 64, 3), np.uint8)
    whole = write_video(path, [*flat_frames(10), *noise], rate=10).read_bytes()
    content = bytearray(whole)
    middle = content.index(b"mdat") + len(content) // 2
    content[middle : middle + 30_000] = bytes(30_000)
    path.write_bytes(content)
    store, lines = tmp_path / "store", []
    run(museums, store, clip_folder, lines=lines)
    report = json.loads((store / "extraction_report.json").read_text())
    assert report["skipped"] == [] and report["items"]["videos"]["encoded"] == 2
    (damaged,) = report["damaged"]
    assert (damaged["item"], damaged["museum"]) == (VIDEO, "museum-1")
    assert damaged["reason"].startswith("damaged: taken without what does not decode")
    assert f"note: damaged and read in part: 1; the first: {VIDEO}: damaged" in str(
        lines
    )
    path.write_bytes(whole)
    run(museums, store, clip_folder)
    shutil.rmtree(tmp_path / "whole", ignore_errors=True)
    run(museums, tmp_path / "whole", clip_folder)
    same(store, tmp_path / "whole")
