"""Extractions as a whole: right numbers, however the work is done."""

import json
import shutil
from typing import Any

import numpy as np
import pytest

from hm3_jax.data.store import open_store
from hm3_jax.data.verify import verify_store
from hm3_jax.extraction.texts import TextSplit
from tests.extraction.museum_folder import read_lines, write_lines, write_museums
from tests.extraction.one_by_one import OneByOne
from tests.extraction.runs import contents, run

pytest.importorskip("open_clip")


@pytest.fixture(scope="module")
def store(museums, clip_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "store"
    run(museums, path, clip_folder)
    return path


@pytest.fixture
def museums_copy(museums, tmp_path):
    shutil.copytree(museums.parent, tmp_path / "museums")
    return tmp_path / "museums" / "museums.jsonl"


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "first_frame"])
def test_features_are_those_of_open_clip_on_one_item(
    museums, clip_folder, tmp_path, pooling
):
    run(
        museums,
        tmp_path / "store",
        clip_folder,
        settings={"video_pooling": pooling, "batch_size": 5},
    )
    store = open_store(tmp_path / "store")
    assert verify_store(tmp_path / "store") == []
    oracle, root = OneByOne(clip_folder), museums.parent
    assert store.images is not None and store.videos is not None
    listed = read_lines(museums)
    assert store.ids == tuple(museum["id"] for museum in listed)
    for i, museum in enumerate(listed):
        assert store.sentence_texts(i) == museum["description"]
        close(store.sentences[i], [oracle.text(t) for t in museum["description"]])
        for number, room in enumerate(museum["rooms"]):
            place = store.room_offsets[i] + number
            views = [oracle.picture(root / view) for view in room["views"]]
            close(store.views[place], views)
            (image,) = store.images.hung[place]
            assert store.images.ids[image] == room["images"][0]
            (video,) = store.videos.hung[place]
            assert f"./{store.videos.ids[video]}" == room["videos"][0]
    for artwork in read_lines(root / "artworks.jsonl"):
        row = store.images.ids.index(artwork["id"])
        close(store.images.table[row], oracle.picture(root / artwork["path"]))
    for row, name in enumerate(store.videos.ids):
        wanted = oracle.video(root / name, 2, first_frame=pooling == "first_frame")
        close(store.videos.table[row], wanted)


def test_a_description_by_room_says_what_its_sentences_are_about(
    museums_copy, clip_folder, tmp_path
):
    first, *others = read_lines(museums_copy)
    first["description"] = [[f"A room, {i}.", "", "A view."] for i in range(2)]
    assert len(first["rooms"]) == 2
    write_lines(museums_copy, [first, *others])
    run(museums_copy, tmp_path / "store", clip_folder)
    store = open_store(tmp_path / "store")
    assert verify_store(store.path) == []
    unknown = len(store.sentences.values) - 4
    assert store.sentence_rooms is not None
    assert store.sentence_rooms.tolist() == [0, 0, 1, 1] + [-1] * unknown


def test_windows_of_long_texts_are_features(museums_copy, clip_folder, tmp_path):
    first, *others = read_lines(museums_copy)
    first["description"] = " ".join(f"Room {i} has a painting." for i in range(40))
    write_lines(museums_copy, [first, *others])
    settings = {"text_split": TextSplit("max_len", 10)}
    run(museums_copy, tmp_path / "store", clip_folder, settings=settings)
    store, oracle = open_store(tmp_path / "store"), OneByOne(clip_folder)
    # 40 times 6 tokens in windows of 75, of which each but the first has 65 new ones.
    assert len(store.sentences[0]) == 4
    close(store.sentences[0][0], oracle.text(first["description"]))
    texts = store.sentence_texts(0)
    assert texts is not None
    close(store.sentences[0][1], oracle.text(texts[1]))
    assert store.feature_facts()["sentences"]["details"]["text_stride"] == 10


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(museums, clip_folder, store, tmp_path, workers):
    run(museums, tmp_path / "store", clip_folder, num_workers=workers)
    assert contents(tmp_path / "store") == contents(store)


def test_four_shards_joined_are_the_same_store(museums, clip_folder, store, tmp_path):
    output = tmp_path / "store"
    for index in (2, 0, 3, 1):
        lines = []
        shard = {"index": index, "shards": 4, "lines": lines}
        assert run(museums, output, clip_folder, **shard) is None
        assert lines[-1].startswith(f"shard {index} of 4 is done; ")
        if index != 1:
            with pytest.raises(ValueError, match=r"expected \d+ finished chunks, foun"):
                run(museums, output, clip_folder, joined=True)
    assert lines[-1].endswith("all shards are: --merge makes the store")
    run(museums, output, clip_folder, joined=True)
    assert contents(output) == contents(store)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_one_process_finishes_what_shards_began(museums, clip_folder, store, tmp_path):
    run(museums, tmp_path / "store", clip_folder, index=1, shards=3)
    run(museums, tmp_path / "store", clip_folder)
    assert contents(tmp_path / "store") == contents(store)


def test_more_shards_than_chunks_do_no_harm(museums, clip_folder, tmp_path):
    lines = []
    shard = {"index": 999, "shards": 1000, "lines": lines}
    run(museums, tmp_path / "store", clip_folder, **shard)
    assert "chunks are left to other shards" in lines[-1]


def test_each_file_and_text_is_encoded_once(museums, clip_folder, store):
    report = json.loads((store / "extraction_report.json").read_text())
    listed = read_lines(museums)
    views = sum(len(room["views"]) for museum in listed for room in museum["rooms"])
    assert report["items"]["pictures"]["distinct"] == views + 3
    assert report["items"]["videos"]["distinct"] == 2
    texts = {text for museum in listed for text in museum["description"]}
    assert report["items"]["texts"]["distinct"] == len(texts)
    assert len(texts) < sum(len(museum["description"]) for museum in listed)


def test_half_precision_is_about_the_same(museums, clip_folder, store, tmp_path):
    run(museums, tmp_path / "store", clip_folder, precision="bf16")
    half, full = open_store(tmp_path / "store"), open_store(store)
    a, b = half.views.values, full.views.values
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.min() > 0.99
    assert not np.array_equal(a, b)
    # A model trained on one may be used on the other.
    assert half.feature_facts() == full.feature_facts()
    assert half.manifest.origin["precision"] == "bf16"


def test_the_manifest_says_where_features_come_from(store, clip_folder):
    manifest = open_store(store).manifest
    facts = manifest.features
    for kind in ("sentences", "views", "images", "videos"):
        assert str(facts[kind].model).startswith("custom-")
        assert facts[kind].weights == "open_clip_model.safetensors"
        assert len(facts[kind].details["weights_sha256"]) == 64
        assert facts[kind].details["activation"] == "QuickGELU"
    assert facts["videos"].pooling == "mean"
    assert facts["videos"].details["frames_per_second"] == 1.0
    assert facts["sentences"].details["text_split_strategy"] == "sentence_by_sentence"
    assert facts["views"].details["preprocessing"]["size"] == [32, 32]
    assert manifest.origin["versions"]["torch"]
    assert manifest.kind == "real"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"settings": {"batch_size": 3}}, r"settings.batch_size 2, found 3"),
        (
            {"settings": {"text_split": TextSplit("max_len")}},
            r"settings.text_split.strategy 'sentence_by_sentence', found 'max_len'",
        ),
        ({"precision": "bf16"}, r"model.precision 'float32', found 'bf16'"),
    ],
)
@pytest.mark.parametrize("joined", [False, True])
def test_going_on_with_other_settings_is_refused(
    museums, clip_folder, tmp_path, change, complaint, joined
):
    run(museums, tmp_path / "store", clip_folder, shards=2)
    with pytest.raises(ValueError, match=rf"begun with {complaint}"):
        run(museums, tmp_path / "store", clip_folder, joined=joined, **change)


def test_going_on_with_another_list_or_model_is_refused(
    museums_copy, clip_folder, other_clip, tmp_path
):
    run(museums_copy, tmp_path / "store", clip_folder, shards=2)
    with pytest.raises(ValueError, match="begun with model.weights_sha256 "):
        run(museums_copy, tmp_path / "store", other_clip)
    write_lines(museums_copy, read_lines(museums_copy)[1:])
    for joined in (False, True):
        with pytest.raises(ValueError, match="begun with museums_sha256 "):
            run(museums_copy, tmp_path / "store", clip_folder, joined=joined)


@pytest.fixture(scope="module")
def other_clip(tmp_path_factory):
    from tests.extraction.clips import QUICK, random_clip, save_folder

    folder = tmp_path_factory.mktemp("other")
    return save_folder(folder, QUICK, random_clip(QUICK, seed=1))


def test_a_store_that_was_made_otherwise_is_left_alone(
    museums, clip_folder, other_clip, store
):
    before = contents(store)
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (other_clip, {}, r"weights_sha256 \('\w+', not '\w+'\)"),
        (clip_folder, {"precision": "bf16"}, r"precision \('float32', not 'bf16'\)"),
        (clip_folder, {"dtype": "float16"}, r"dtype \('float32', not 'float16'\)"),
        (
            clip_folder,
            {"settings": {"batch_size": 3}},
            r"settings.batch_size \(2, not 3\)",
        ),
    ]
    for clip, change, other in cases:
        with pytest.raises(FileExistsError, match=rf"a store with another .*{other}"):
            run(museums, store, clip, **change)
    with pytest.raises(FileExistsError, match="found a store$"):
        run(museums, store, clip_folder, joined=True)
    assert contents(store) == before
    assert [path.name for path in store.parent.iterdir()] == [store.name]


def test_a_store_that_has_all_of_the_list_is_left_alone(museums, clip_folder, store):
    before, lines = contents(store), []
    assert run(museums, store, clip_folder, lines=lines) == open_store(store).manifest
    assert lines == [f"{store} has all of {museums} already"]
    assert contents(store) == before


def test_extracting_over_other_things_is_refused(museums, clip_folder, tmp_path):
    with pytest.raises(FileExistsError, match="found something else"):
        run(museums, tmp_path, clip_folder)


def test_nothing_to_join_is_refused(museums, clip_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"store\.extraction: expected the"):
        run(museums, tmp_path / "store", clip_folder, joined=True)


def test_a_shard_is_one_process_at_a_time(museums, clip_folder, tmp_path):
    from hm3_jax.extraction.work_folder import WorkFolder

    run(museums, tmp_path / "store", clip_folder, index=0, shards=2)
    with WorkFolder(tmp_path / "store").locked(1, 2):
        with pytest.raises(RuntimeError, match="another process works on this shard"):
            run(museums, tmp_path / "store", clip_folder, index=1, shards=2)
    run(museums, tmp_path / "store", clip_folder, index=1, shards=2)


def test_damaged_chunks_are_not_believed(museums, clip_folder, store, tmp_path):
    run(museums, tmp_path / "store", clip_folder, index=0, shards=2)
    chunk = sorted((tmp_path / "store.extraction" / "chunks").iterdir())[0]
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{chunk.name}: expected the bytes that were"):
        run(museums, tmp_path / "store", clip_folder)
    chunk.unlink()
    run(museums, tmp_path / "store", clip_folder)
    assert contents(tmp_path / "store") == contents(store)


def test_a_damaged_plan_is_not_believed(museums, clip_folder, tmp_path):
    run(museums, tmp_path / "store", clip_folder, index=0, shards=2)
    plan = tmp_path / "store.extraction" / "plan.json"
    plan.write_text(plan.read_text().replace("room_0", "room_1"))
    with pytest.raises(ValueError, match=r"plan\.json: expected the bytes that were"):
        run(museums, tmp_path / "store", clip_folder)


def test_a_set_without_artworks_has_none(clip_folder, tmp_path):
    museums = write_museums(tmp_path / "museums", 2, videos=False)
    lines = read_lines(museums)
    for museum in lines:
        museum["rooms"] = [{"views": room["views"]} for room in museum["rooms"]]
    write_lines(museums, lines)
    run(museums, tmp_path / "store", clip_folder)
    store = open_store(tmp_path / "store")
    assert store.images is None and store.videos is None
