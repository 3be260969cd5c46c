"""train, evaluate and convert as a user runs them."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hm3_jax import cli
from hm3_jax.data.museum import ArtworkTable, MuseumRecord, RoomRecord
from hm3_jax.data.store import FeatureFacts, open_store
from hm3_jax.learn import checkpoint
from hm3_jax.learn.checkpoint import Checkpoint
from hm3_jax.learn.model import Model
from hm3_jax.learn.trainer import NonFiniteLossError
from hm3_jax.nn.strategy import strategy_text
from tests import golden_data
from tests.learn import small

GOLDEN = "rnn_cnn1d_image_video"


def succeed(result, warning: str | None = None) -> str:
    assert result.returncode == 0, result.stderr
    if warning is None:
        assert result.stderr == ""
    else:
        (line,) = result.stderr.splitlines()
        assert line.startswith("warning: ") and warning in line
    return result.stdout


def fail(result, complaint: str) -> None:
    assert result.returncode == 2, result
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ") and complaint in line, line


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return small.write(tmp_path_factory.mktemp("small") / "store")


@pytest.fixture
def strategies(tmp_path) -> Path:
    """A folder with a strategy that fits the small store, and one with videos."""
    folder = tmp_path / "strategies"
    folder.mkdir()
    for config in (small.FLAT, small.BY_ROOM):
        (folder / f"{config.file_stem}.json").write_text(strategy_text(config))
    return folder


def test_a_model_is_trained_evaluated_converted_and_back(
    run_module, tmp_path, strategies
):
    museums = small.records()
    museums[3] = dataclasses.replace(museums[3], theme="surreal")
    small.write(tmp_path / "store", museums)
    shown = succeed(
        run_module(
            "hm3_jax.train",
            "--features=store",
            "--workdir=runs",
            "--experiment_name=first",
            f"--config_files={strategies / 'rnn_meanPoolProc.json'}",
            "--batch_size=5",
            "--epochs=2",
            "--number_of_tries=2",
            "--use_categories_in_loss",
            "--tags=a,b",
        ),
        warning="no museum of split train has the themes surreal, which",
    )
    assert shown.startswith("small (real features): 14 train, 14 val, 14 test\n")
    assert shown.count("epoch ") == 2 and "2/2" in shown
    assert shown.endswith("written to runs/first\n")
    strategy = tmp_path / "runs" / "first" / "rnn_meanPoolProc"
    lines = small.log(strategy, 2)
    assert [line["lr"] for line in lines] == [1e-3, 1e-3]
    assert [line["second_loss_component_weight"] for line in lines] == [None, None]
    about = json.loads((strategy.parent / "experiment.json").read_text())
    assert (about["name"], about["tags"]) == ("first", ["a", "b"])

    def evaluate(what: Path, output: str, **expected) -> Path:
        arguments = (f"--checkpoint={what}", "--features=store", f"--output={output}")
        shown = succeed(run_module("hm3_jax.evaluate", *arguments), **expected)
        assert "on test of small (real features, 14 museums)" in shown
        return tmp_path / output

    evaluation = evaluate(strategy / "try_2", "evaluation")
    metrics = json.loads((evaluation / "metrics.json").read_text())
    assert metrics == small.outcome(strategy, 2)["metrics"]
    tested = json.loads((strategy / "test_output.json").read_text())[1]
    with np.load(evaluation / "embeddings.npz") as arrays:
        assert arrays["ids"].tolist() == tested["ids_list"]
        assert arrays["descriptions"].tolist() == tested["output_description_test"]
        assert arrays["museums"].tolist() == tested["output_pov_test"]

    for source, target, folder in (
        ("orbax", "pytorch", strategy / "try_2"),
        ("pytorch", "orbax", tmp_path / "to-pytorch"),
    ):
        succeed(
            run_module(
                "hm3_jax.convert",
                f"--from={source}",
                f"--to={target}",
                f"--input={folder}",
                f"--output=to-{target}",
            )
        )
    again = evaluate(
        tmp_path / "to-orbax", "again", warning="does not say which features"
    )
    assert small.contents(again) == small.contents(evaluation)


def golden_store(path: Path) -> None:
    """The golden museums as the test split of a store."""
    arrays = golden_data.arrays("museums")

    def split(rows: np.ndarray, lengths: str) -> list[np.ndarray]:
        return np.split(rows, np.cumsum(arrays[lengths])[:-1])

    tables, hung = {}, {}
    for kind in ("images", "videos"):
        names = np.array([f"{kind}-{i}" for i in range(len(arrays[kind]))])
        tables[kind] = ArtworkTable(tuple(names.tolist()), arrays[kind])
        hung[kind] = [tuple(x.tolist()) for x in split(names, f"{kind}_per_room")]
    rooms = [
        RoomRecord(views, images, videos)
        for views, images, videos in zip(
            split(arrays["povs"], "povs_per_room"),
            hung["images"],
            hung["videos"],
            strict=True,
        )
    ]
    first = np.cumsum(arrays["rooms"]) - arrays["rooms"]
    museums = [
        MuseumRecord(
            id=f"museum-{i}",
            split="test",
            theme=f"theme-{arrays['theme'][i]}",
            sentences=sentences,
            rooms=tuple(rooms[first[i] : first[i] + arrays["rooms"][i]]),
        )
        for i, sentences in enumerate(split(arrays["desc"], "desc_len"))
    ]
    facts = {kind: FeatureFacts(24) for kind in small.SIZES}
    small.write(path, museums, facts=facts, artworks=tables, dtype="float32")


def golden_folder(path: Path, changes=lambda state: None) -> Path:
    """What the release's `save_pretrained` would write of a golden model."""
    arrays = golden_data.arrays(GOLDEN)
    state = {
        name.removeprefix("param/"): array
        for name, array in arrays.items()
        if name.startswith("param/")
    }
    changes(state)
    path.mkdir()
    shutil.copy(golden_data.GOLDEN / f"{GOLDEN}.json", path / "config.json")
    save_file(state, path / "model.safetensors")
    return path


def convert(run_module, source: Path | str, output: str, **forms: str):
    forms = {"from": "pytorch", "to": "orbax", **forms}
    flags = [f"--{flag}={value}" for flag, value in forms.items()]
    return run_module(
        "hm3_jax.convert", f"--input={source}", f"--output={output}", *flags
    )


def test_a_published_checkpoint_gives_the_published_embeddings(run_module, tmp_path):
    published = golden_folder(tmp_path / "published")
    golden_store(tmp_path / "store")
    shown = succeed(convert(run_module, published, "ours"))
    assert shown == f"{GOLDEN}: written to ours\n"
    arguments = ("--checkpoint=ours", "--features=store", "--output=evaluation")
    succeed(
        run_module("hm3_jax.evaluate", *arguments),
        warning="ours does not say which features it was trained on; only their sizes",
    )
    golden = golden_data.arrays(GOLDEN)
    with np.load(tmp_path / "evaluation" / "embeddings.npz") as found:
        for name, wanted in (("descriptions", "desc_out"), ("museums", "scene_out")):
            np.testing.assert_allclose(found[name], golden[wanted], rtol=0, atol=1e-6)
    forms = {"from": "orbax", "to": "pytorch"}
    succeed(convert(run_module, "ours", "back", **forms))
    before, after = (
        load_file(folder / "model.safetensors")
        for folder in (published, tmp_path / "back")
    )
    assert after.keys() == before.keys()
    for name, array in before.items():
        assert after[name].dtype == array.dtype
        np.testing.assert_array_equal(after[name], array)


def test_what_the_release_will_compute_otherwise_is_said(run_module, tmp_path):
    published = golden_folder(tmp_path / "published")
    succeed(convert(run_module, published, "ours", cnn1d_masking="time"))
    forms = {"from": "orbax", "to": "pytorch"}
    succeed(
        convert(run_module, "ours", "back", **forms),
        warning="ours: this 1-D CNN masks time; the published release masks channels",
    )


def drop(state):
    del state["model_pov.fc.bias"]


def cut(state):
    state["model_pov.fc.weight"] = state["model_pov.fc.weight"][:, 1:].copy()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (drop, "model_pov.fc.bias is missing, expected (12,)"),
        (cut, "model_pov.fc.weight expected (12, 42), found (12, 41)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(run_module, tmp_path, change, complaint):
    published = golden_folder(tmp_path / "published", change)
    result = convert(run_module, published, "ours")
    fail(result, f"{published / 'model.safetensors'}: ")
    fail(result, complaint)
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(
    ("forms", "complaint"),
    [
        ({"to": "pytorch"}, "expected two forms, found --from=pytorch --to=pytorch"),
        ({}, "nowhere: expected a checkpoint folder, found none"),
        (
            {"from": "orbax", "to": "pytorch"},
            "nowhere: expected a checkpoint (a try_K folder of a run, or one made by",
        ),
        (
            {"from": "orbax", "to": "pytorch", "cnn1d_masking": "time"},
            "--cnn1d_masking is for --from=pytorch, found --from=orbax",
        ),
    ],
)
def test_what_cannot_be_converted_is_refused(run_module, tmp_path, forms, complaint):
    fail(convert(run_module, "nowhere", "output", **forms), complaint)
    assert list(tmp_path.iterdir()) == []


def without_videos() -> list[MuseumRecord]:
    return [
        dataclasses.replace(
            museum,
            rooms=tuple(dataclasses.replace(room, videos=()) for room in museum.rooms),
        )
        for museum in small.records()
    ]


def make_truncated(path: Path) -> None:
    views = small.write(path) / "views.npy"
    views.write_bytes(views.read_bytes()[:-7])


def make_without_videos(path: Path) -> None:
    facts, artworks = small.facts(), small.artworks()
    del facts["videos"], artworks["videos"]
    small.write(path, without_videos(), facts=facts, artworks=artworks)


def make_without_val(path: Path) -> None:
    small.write(path, [m for m in small.records() if m.split != "val"])


@pytest.mark.parametrize(
    ("make_store", "arguments", "complaint"),
    [
        (lambda path: None, [], "store: expected a feature store, found no manifest"),
        (make_truncated, [], "store/views.npy: expected "),
        (make_without_videos, [], "needs videos, but store has only sentences, views"),
        (make_without_val, [], "store: expected museums in split val, found none"),
        (
            small.write,
            ["--config_files_dir={repository}/configs/strategies/pov_only"],
            "rnn_meanPoolProc expects sentences features of 512 floats, but store has",
        ),
        (
            small.write,
            ["--config_files_dir=strategies", "--loss_delta=0.1"],
            "loss_delta has no effect without loss_patience",
        ),
        (small.write, ["--experiment_name=a/b"], "a folder's name, found 'a/b'"),
        (small.write, ["--experiment_name=.."], "a folder's name, found '..'"),
        (small.write, ["--config_files_dir="], "give --config_files or --config_files"),
    ],
)
def test_train_refuses_wrong_input(
    run_module, tmp_path, repository, strategies, make_store, arguments, complaint
):
    make_store(tmp_path / "store")
    result = run_module(
        "hm3_jax.train",
        "--features=store",
        "--workdir=runs",
        "--config_files_dir=strategies",
        *(argument.format(repository=repository) for argument in arguments),
    )
    fail(result, complaint)
    assert not (tmp_path / "runs").exists()


def test_train_leaves_an_experiment_alone(run_module, tmp_path, store, strategies):
    (tmp_path / "runs" / "experiment").mkdir(parents=True)
    result = run_module(
        "hm3_jax.train",
        f"--features={store}",
        "--workdir=runs",
        f"--config_files_dir={strategies}",
    )
    fail(result, "runs/experiment: expected no experiment there, found one")
    assert list((tmp_path / "runs" / "experiment").iterdir()) == []


def test_divergence_is_a_failure_of_the_run_not_of_its_input():
    assert not issubclass(NonFiniteLossError, cli.INPUT_ERRORS)


@pytest.fixture
def saved(tmp_path, store) -> Path:
    """A checkpoint that is refused before its parameters are looked at."""
    facts = open_store(store).feature_facts()
    model = Model(small.FLAT, "time", {"text": np.zeros(3, np.float32)}, facts)
    checkpoint.save(tmp_path / "try_1", "last", Checkpoint(model, epoch=1))
    return tmp_path / "try_1"


def other_features(saved: Path, store: Path) -> list[str]:
    facts = small.facts(model="RN50")
    return [f"--features={small.write(saved.parent / 'other', facts=facts)}"]


def truncated(saved: Path, store: Path) -> list[str]:
    file = saved / "checkpoints" / "last" / "1" / "params" / "manifest.ocdbt"
    file.write_bytes(file.read_bytes()[:-5])
    return []


def existing(saved: Path, store: Path) -> list[str]:
    (saved.parent / "evaluation").mkdir()
    return []


@pytest.mark.parametrize(
    ("prepare", "complaint"),
    [
        (
            lambda saved, store: ["--split=dev"],
            "store: expected museums in split 'dev', found splits train (14)",
        ),
        (
            lambda saved, store: ["--checkpoint=nowhere"],
            "nowhere: expected a checkpoint (a try_K folder of a run, or one made by",
        ),
        (other_features, "trained on sentences with model 'ViT-B-32', found 'RN50'"),
        (truncated, "try_1/checkpoints/last/1/params/manifest.ocdbt: damaged: "),
        (existing, "evaluation: expected no such folder, found one"),
    ],
)
def test_evaluate_refuses_wrong_input(
    run_module, tmp_path, store, saved, prepare, complaint
):
    result = run_module(
        "hm3_jax.evaluate",
        f"--checkpoint={saved}",
        f"--features={store}",
        "--output=evaluation",
        *prepare(saved, store),
    )
    fail(result, complaint)
    assert result.stdout == ""
    output = tmp_path / "evaluation"
    assert not output.exists() or list(output.iterdir()) == []
