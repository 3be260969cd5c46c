"""Extractions of museums with all that may be wrong with their files and texts."""

import json
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.data.store import open_store
from hm3_jax.data.verify import verify_store
from hm3_jax.extraction.errors import UnreadableInput
from tests.extraction.museum_folder import (
    read_lines,
    write_lines,
    write_museums,
    write_picture,
    write_video,
)
from tests.extraction.one_by_one import OneByOne
from tests.extraction.runs import contents, run

pytest.importorskip("open_clip")
pytest.importorskip("av")


@pytest.fixture
def museums(tmp_path) -> Path:
    return write_museums(tmp_path / "museums", 4)


def change(museums: Path, **changes) -> None:
    """Gives the first museum other values."""
    first, *others = read_lines(museums)
    write_lines(museums, [first | changes, *others])


def report_of(store: Path) -> dict:
    return json.loads((store / "extraction_report.json").read_text())


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def write_sound(path: Path) -> None:
    """A file with sound and no pictures."""
    import av

    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((2, 1024), np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_bad_files_are_skipped_and_listed(museums, clip_folder, tmp_path):
    folder, lines = museums.parent, []
    truncate(folder / "museums/0/room_0/view_0.jpg")
    (folder / "museums/1/room_1/view_1.jpg").unlink()
    (folder / "art/painting_1.png").write_text("A text, not a painting.")
    (folder / "clips/clip_1.mp4").write_bytes(b"")
    run(museums, tmp_path / "store", clip_folder, lines=lines)
    assert verify_store(tmp_path / "store") == []
    report = report_of(tmp_path / "store")
    assert report["items"]["pictures"] == {
        "distinct": 19,
        "encoded": 16,
        "skipped": 3,
    }
    assert report["items"]["videos"]["skipped"] == 1
    skipped = {entry["item"]: entry for entry in report["skipped"]}
    assert {name: entry["museum"] for name, entry in skipped.items()} == {
        "museums/0/room_0/view_0.jpg": "museum-0",
        "museums/1/room_1/view_1.jpg": "museum-1",
        "art/painting_1.png": "museum-0",
        "clips/clip_1.mp4": "museum-1",
    }
    for name, words in (
        ("museums/0/room_0/view_0.jpg", "cut short"),
        ("museums/1/room_1/view_1.jpg", "no such file"),
        ("art/painting_1.png", "expected a picture, found something else"),
        ("clips/clip_1.mp4", "expected a video"),
    ):
        assert words in skipped[name]["reason"]
    assert lines[-2:] == [
        "note: pictures skipped: 3 of 19; the first: museums/0/room_0/view_0.jpg: "
        + skipped["museums/0/room_0/view_0.jpg"]["reason"],
        "note: videos skipped: 1 of 2; the first: clips/clip_1.mp4: "
        + skipped["clips/clip_1.mp4"]["reason"],
    ]
    store = open_store(tmp_path / "store")
    assert store.views.lengths.tolist() == [1, 2, 2, 1, 2, 2, 2, 2]
    assert store.images is not None and store.videos is not None
    # In the order of their first use, without what could not be read.
    assert store.images.ids == ("painting 0", "painting 2")
    assert store.videos.ids == ("clips/clip_0.mp4",)
    assert store.images.hung.lengths.tolist() == [1, 0, 0, 1, 1, 1, 1, 0]
    assert store.videos.hung.lengths.tolist() == [1, 1, 0, 0, 1, 1, 0, 0]
    oracle = OneByOne(clip_folder)
    wanted = oracle.picture(folder / "museums/0/room_0/view_1.jpg")
    np.testing.assert_allclose(store.views[0][0], wanted, atol=1e-5)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_first_bad_file_stops_a_run_that_must_not_skip(
    museums, clip_folder, tmp_path, workers
):
    truncate(museums.parent / "museums/2/room_0/view_0.jpg")
    arguments = (museums, tmp_path / "store", clip_folder)
    share = {"on_error": "fail", "num_workers": workers}
    with pytest.raises(UnreadableInput, match=r"museums/2/room_0/view_0\.jpg: .*short"):
        run(*arguments, **share)
    write_picture(museums.parent / "museums/2/room_0/view_0.jpg", 200)
    run(*arguments, **share)
    assert report_of(tmp_path / "store")["skipped"] == []


def test_what_a_run_skipped_another_may_not(museums, clip_folder, tmp_path):
    truncate(museums.parent / "museums/2/room_0/view_0.jpg")
    for index in range(2):
        run(museums, tmp_path / "store", clip_folder, shards=2, index=index)
    with pytest.raises(ValueError, match=r"view_0\.jpg: .* \(skipped by an earlier"):
        run(museums, tmp_path / "store", clip_folder, joined=True, on_error="fail")
    run(museums, tmp_path / "store", clip_folder, joined=True)


def test_rooms_and_museums_without_views_are_left_out(museums, clip_folder, tmp_path):
    folder, lines = museums.parent, []
    for name in ("0/room_1", "1/room_0", "1/room_1"):
        for view in (folder / "museums" / name).iterdir():
            view.write_bytes(b"")
    run(museums, tmp_path / "store", clip_folder, lines=lines)
    store, report = open_store(tmp_path / "store"), report_of(tmp_path / "store")
    assert store.ids == ("museum-0", "museum-2", "museum-3")
    assert np.diff(store.room_offsets).tolist() == [1, 2, 2]
    counts = {"listed": 4, "stored": 3, "left_out": 1, "without_text": 0}
    assert report["museums"] == counts
    assert report["museums_left_out"] == [
        {"museum": "museum-1", "reason": "no view of any room could be encoded"}
    ]
    assert report["rooms_left_out"] == [
        {"museum": "museum-0", "room": 1, "reason": "no view could be encoded"}
    ]
    assert "note: museums left out: 1; the first: museum-1: no view of any" in str(
        lines
    )
    assert "note: rooms left out: 1; the first: room 1 of museum-0" in str(lines)


def test_nothing_that_can_be_stored_is_refused(museums, clip_folder, tmp_path):
    for view in (museums.parent / "museums").rglob("*.jpg"):
        view.write_text("no picture")
    with pytest.raises(ValueError, match=r"expected at least one museum .*museum-0"):
        run(museums, tmp_path / "store", clip_folder)
    report = json.loads(
        (tmp_path / "store.extraction" / "extraction_report.json").read_text()
    )
    assert report["museums"]["stored"] == 0
    assert not (tmp_path / "store").exists()


def test_odd_pictures_are_pictures(museums, clip_folder, tmp_path):
    from PIL import Image

    folder = museums.parent / "odd"
    folder.mkdir()
    Image.new("CMYK", (30, 40), (10, 200, 30, 40)).save(folder / "cmyk.jpg")
    Image.new("P", (30, 40), 3).save(folder / "palette.gif")
    Image.new("RGB", (1, 1), "red").save(folder / "pixel.png")
    Image.new("I;16", (30, 40), 40_000).save(folder / "deep.png")
    names = [f"odd/{path.name}" for path in sorted(folder.iterdir())]
    change(museums, rooms=[{"views": names}])
    run(museums, tmp_path / "store", clip_folder)
    assert report_of(tmp_path / "store")["skipped"] == []
    store, oracle = open_store(tmp_path / "store"), OneByOne(clip_folder)
    for row, name in enumerate(names):
        if name != "odd/deep.png":  # Pillow would clip it
            wanted = oracle.picture(museums.parent / name)
            np.testing.assert_allclose(store.views[0][row], wanted, atol=1e-5)


def test_odd_videos_are_skipped_or_videos(museums, clip_folder, tmp_path):
    folder = museums.parent
    write_sound(folder / "clips/sound.m4a")
    write_video(folder / "clips/none.mp4", 3, seconds=0)
    write_video(folder / "clips/short.mp4", 4, seconds=1)
    names = ["clips/sound.m4a", "clips/none.mp4", "clips/short.mp4"]
    first = read_lines(museums)[0]["rooms"]
    change(museums, rooms=[first[0] | {"videos": names}, first[1]])
    run(museums, tmp_path / "store", clip_folder)
    store, report = open_store(tmp_path / "store"), report_of(tmp_path / "store")
    assert {entry["item"] for entry in report["skipped"]} == set(names[:2])
    assert store.videos is not None
    assert store.videos.ids[store.videos.hung[0][0]] == "clips/short.mp4"


def test_odd_texts_are_cut_left_out_or_read(museums, clip_folder, tmp_path):
    long = " ".join(["museum"] * 2000)
    change(museums, description=[long, "", " \n", "博物馆里有很多画。", "Зал."])
    lines = []
    run(museums, tmp_path / "store", clip_folder, lines=lines)
    store, report = open_store(tmp_path / "store"), report_of(tmp_path / "store")
    assert store.sentence_texts(0) == [long, "博物馆里有很多画。", "Зал."]
    assert report["empty_sentences"] == 2
    (cut,) = report["texts_cut"]
    assert cut["museum"] == "museum-0" and cut["text"].startswith("museum museum")
    # Start and end take two of the 77 tokens, "museum" is one.
    assert cut["tokens_cut"] == 2000 - 75
    assert "note: texts cut to the model's context length: 1" in lines
    assert "note: empty sentences left out: 2" in lines
    oracle = OneByOne(clip_folder)
    wanted = [oracle.text(text) for text in store.sentence_texts(0) or []]
    np.testing.assert_allclose(store.sentences[0], wanted, atol=1e-5)


def test_features_that_are_not_finite_are_left_out(
    museums, clip_folder, tmp_path, monkeypatch
):
    from hm3_jax.extraction.clip_model import ClipModel

    encode = ClipModel.encode_pictures

    def overflowing(self, pixels):
        features = encode(self, pixels)
        bright = pixels.mean(axis=(1, 2, 3)) == pixels.mean(axis=(1, 2, 3)).max()
        features[bright & (len(pixels) > 1)] = np.inf
        return features

    monkeypatch.setattr(ClipModel, "encode_pictures", overflowing)
    run(museums, tmp_path / "store", clip_folder)
    assert verify_store(tmp_path / "store") == []
    reasons = {entry["reason"] for entry in report_of(tmp_path / "store")["skipped"]}
    assert reasons == {"expected a feature with a direction, found NaN or infinity"}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"id": "museum-1"}, r"jsonl:2: expected every id once, found 'museum-1'"),
        ({"rooms": [{"views": ["../x.jpg"]}]}, r"jsonl:1: .* inside the input root"),
        ({"rooms": [{"views": ["/x.jpg"]}]}, r"jsonl:1: .* inside the input root"),
        (
            {"rooms": [{"views": ["x.jpg"], "images": ["nobody"]}]},
            r"jsonl:1: .*expected an id of artworks\.jsonl, found 'nobody'",
        ),
        ({"description": ["", " "]}, r"jsonl:1: .*expected text, found none"),
    ],
)
def test_faulty_lists_are_refused(museums, clip_folder, tmp_path, changes, complaint):
    change(museums, **changes)
    with pytest.raises(ValueError, match=complaint):
        run(museums, tmp_path / "store", clip_folder)
    assert [path.name for path in tmp_path.iterdir()] == ["museums"]


def test_bad_files_change_nothing_about_kills_and_shards(
    museums, clip_folder, tmp_path
):
    truncate(museums.parent / "museums/0/room_0/view_0.jpg")
    (museums.parent / "clips/clip_1.mp4").write_bytes(b"")
    run(museums, tmp_path / "whole", clip_folder)
    for index in range(4):
        run(museums, tmp_path / "joined", clip_folder, shards=4, index=index)
    run(museums, tmp_path / "joined", clip_folder, joined=True)
    assert contents(tmp_path / "joined") == contents(tmp_path / "whole")
