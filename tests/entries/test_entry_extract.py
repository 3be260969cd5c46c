"""extract as a user runs it."""

import json
import re

import pytest

from hm3_jax.data.store import open_store
from tests.commands import fail, succeed

pytest.importorskip("open_clip")
pytest.importorskip("av")

# What is found only with the model costs each command seconds to import torch.
LOADS_TORCH = pytest.mark.thorough


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    from tests.extraction.clips import QUICK, random_clip, save_folder

    return save_folder(tmp_path_factory.mktemp("clip"), QUICK, random_clip(QUICK))


@pytest.fixture(scope="module")
def museums(tmp_path_factory):
    from tests.extraction.museum_folder import write_museums

    return write_museums(tmp_path_factory.mktemp("museums"), 4)


@pytest.fixture
def extract(run_module, museums, clip):
    def run(*arguments, output="store"):
        return run_module(
            "hm3_jax.extract",
            f"--museums={museums}",
            f"--output={output}",
            f"--pretrained={clip}",
            *arguments,
        )

    return run


@pytest.mark.thorough
def test_museums_become_a_store(extract, run_module, museums, tmp_path):
    output = succeed(extract("--dataset_name=mine"))
    assert re.search(
        r"^store: mine \(real\): 4 museums \(2 train, 1 val, 1 test\), 2 themes, "
        r"8 rooms, 16 sentences, 16 views, 3 images, 2 videos, .* of float16; "
        r"extracted in [\d.]+ s$",
        output,
        re.MULTILINE,
    )
    assert re.search(r"^pictures: 19 of 19, [\d,.]+ pictures/s", output, re.MULTILINE)
    succeed(run_module("hm3_jax.inspect_features", "--features=store", "--verify"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]
    again = succeed(extract("--dataset_name=mine"))
    assert f"store has all of {museums} already" in again
    assert "another dataset_name ('mine', not 'museums" in fail_line(extract())


@pytest.mark.thorough
def test_shards_are_merged(extract, tmp_path):
    flags = ("--batch_size=4", "--num_workers=1", "--video_pooling=first_frame")
    for index in range(2):
        output = succeed(extract(*flags, f"--shard_index={index}", "--num_shards=2"))
        assert f"shard {index} of 2 is done" in output
    assert "begun with settings.video_pooling 'first_frame', found 'mean'" in fail_line(
        extract("--batch_size=4", "--merge")
    )
    succeed(extract("--batch_size=4", "--video_pooling=first_frame", "--merge"))
    facts = open_store(tmp_path / "store").feature_facts()
    assert facts["videos"]["pooling"] == "first_frame"
    assert open_store(tmp_path / "store").dataset_name.startswith("museums")


@pytest.mark.thorough
def test_long_texts_and_windows(extract, tmp_path):
    succeed(
        extract(
            "--text_split_strategy=max_len",
            "--text_stride=10",
            "--dtype=float32",
            "--frames_per_second=2",
            "--max_frames=3",
            "--on_error=fail",
        )
    )
    store = open_store(tmp_path / "store")
    assert store.sentences.lengths.tolist() == [1, 1, 1, 1]
    assert store.views.values.dtype == "float32"
    details = store.feature_facts()["videos"]["details"]
    assert (details["frames_per_second"], details["max_frames"]) == (2.0, 3)
    report = json.loads((tmp_path / "store" / "extraction_report.json").read_text())
    assert report["museums"] == {
        "listed": 4,
        "stored": 4,
        "left_out": 0,
        "without_text": 0,
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--text_stride=5"], "--text_stride is for --text_split_strategy=max_len"),
        (["--num_shards=0"], "--num_shards: expected at least 1, found 0"),
        (["--num_shards=2", "--shard_index=2"], "--shard_index: expected 0 to 1 with"),
        (["--shard_index=1"], "expected 0 to 0 with --num_shards=1, found 1"),
        (["--num_workers=-1"], "--num_workers: expected 0 or more, found -1"),
        (["--batch_size=0"], "--batch_size: expected at least 1, found 0"),
        (["--seconds_per_file=0"], "--seconds_per_file: expected more than 0, found"),
        (["--max_pixels=0"], "--max_pixels: expected at least 1, found 0"),
        (["--merge", "--max_pixels=9"], "--max_pixels is for extracting, found --me"),
        (["--max_frames=0"], "--max_frames: expected at least 1, found 0"),
        (["--frames_per_second=0"], "--frames_per_second: expected more than 0"),
        (["--merge", "--device=cpu"], "--device is for extracting, found --merge"),
        (["--merge", "--num_shards=2"], "--num_shards is for extracting, found --mer"),
        (["--merge"], "store.extraction: expected the folder of an extraction, found"),
        pytest.param(["--device=nothing"], "device", marks=LOADS_TORCH),
        pytest.param(
            ["--precision=fp16", "--device=cpu"],
            "precision fp16 is for a GPU",
            marks=LOADS_TORCH,
        ),
        (["--preset=hm3", "--model=RN50"], "is of the model ViT-B-32-quickgelu, found"),
        pytest.param(
            ["--preset=hm3"],
            "expected the architecture of the model ViT-B-32-quickgelu",
            marks=LOADS_TORCH,
        ),
        (["--museums=nowhere.jsonl"], "nowhere.jsonl: expected a file of JSON lines"),
        (["--input_root=nowhere"], "nowhere: expected a folder, the input root"),
        pytest.param(
            ["--output=."],
            "expected a path to make a store at, found something else",
            marks=LOADS_TORCH,
        ),
        (["--preset=other"], "--preset"),
        (["--on_error=ignore"], "--on_error"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(extract, tmp_path, arguments, complaint):
    fail(extract(*arguments), complaint)
    assert list(tmp_path.iterdir()) == []


def test_a_model_must_be_named(run_module, museums):
    arguments = ("hm3_jax.extract", f"--museums={museums}", "--output=store")
    fail(run_module(*arguments), "expected a model: --preset, or --model and --pretrai")


def fail_line(result):
    fail(result, "")
    return result.stderr
