"""train, evaluate and convert as a user runs them."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from hm3_jax.cli import frame
from hm3_jax.data.museum import MuseumRecord
from hm3_jax.data.store import open_store
from hm3_jax.interop.release_folder import read_release_folder
from hm3_jax.learn.model import Model
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.learn.training.trainer import NonFiniteLossError
from hm3_jax.nn.strategy_json import strategy_text
from tests.commands import fail, succeed
from tests.learn import small


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


def test_a_model_is_trained_evaluated_and_converted(run_module, tmp_path, strategies):
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
    assert shown.startswith(
        "loading JAX\nsmall (real features): 14 train, 14 val, 14 test\n"
    )
    assert shown.count("epoch ") == 2 and "2/2" in shown
    assert shown.endswith("written to runs/first\n")
    strategy = tmp_path / "runs" / "first" / "rnn_meanPoolProc"
    lines = small.log(strategy, 2)
    assert [line["lr"] for line in lines] == [1e-3, 1e-3]
    assert [line["second_loss_component_weight"] for line in lines] == [None, None]
    about = json.loads((strategy.parent / "experiment.json").read_text())
    assert (about["name"], about["tags"]) == ("first", ["a", "b"])

    # What report reads is what train wrote: nothing is missed, nothing misread.
    shown = succeed(
        run_module("hm3_jax.report", "--runs=runs", "--output=report", "--nofigures")
    )
    assert shown.startswith("1 run (1 complete), 3 tables, 0 figures; ")
    facts = json.loads((tmp_path / "report" / "report.json").read_text())
    (run,) = facts["runs"]
    assert facts["problems"] == [] and run["name"] == "first/rnn_meanPoolProc"
    assert (run["tries"], run["asked"], run["state"]) == ([1, 2], 2, "finished")
    assert run["settings"]["epochs"] == 2 and run["settings"]["seed"] == 42
    assert run["strategy"] == json.loads((strategy / "strategy.json").read_text())
    assert about["written"].startswith(run["date"]) and run["date"]
    tested = [small.outcome(strategy, number)["metrics"] for number in (1, 2)]
    for key, mean in run["mean"].items():
        assert mean == pytest.approx(np.mean([m[key] for m in tested]), rel=1e-9)
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Report on 1 run<" in page and "<td>batch_<wbr>size</td><td>5</td>" in page

    trained = f"--checkpoint={strategy / 'try_2'}"
    arguments = (
        trained,
        "--features=store",
        "--output=evaluation",
        "--query_sentences=1,2,4,8,all",
    )
    shown = succeed(run_module("hm3_jax.evaluate", *arguments))
    assert shown.startswith("rnn_meanPoolProc, epoch 2, on test of small (real feat")
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert metrics == small.outcome(strategy, 2)["metrics"]
    found, wanted = (
        json.loads((path / "by_length.json").read_text())
        for path in (tmp_path / "evaluation", strategy / "try_2")
    )
    assert list(wanted["lengths"]) == ["1", "2", "4", "8", "all"]
    assert found | {"model": ""} == wanted | {"model": ""}
    tested = json.loads((strategy / "test_output.json").read_text())[1]
    with np.load(tmp_path / "evaluation" / "embeddings.npz") as arrays:
        assert arrays["ids"].tolist() == tested["ids_list"]
        for name, key in (("descriptions", "description"), ("museums", "pov")):
            written = np.array(tested[f"output_{key}_test"], np.float32)
            np.testing.assert_array_equal(arrays[name], written)

    arguments = ("--from=orbax", "--to=pytorch", "--output=released")
    succeed(run_module("hm3_jax.convert", f"--input={strategy / 'try_2'}", *arguments))
    config, params = read_release_folder(tmp_path / "released")
    assert config == small.FLAT
    saved = checkpoint.load_model(strategy / "try_2").model
    jax.tree.map(np.testing.assert_array_equal, params, saved.params)


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
    assert not issubclass(NonFiniteLossError, frame.INPUT_ERRORS)


@pytest.fixture
def saved(tmp_path, store) -> Path:
    """A checkpoint that is refused before its parameters are looked at."""
    facts = open_store(store).feature_facts()
    model = Model(small.FLAT, {"text": np.zeros(3, np.float32)}, facts)
    checkpoint.save(tmp_path / "try_1", "last", Checkpoint(model, epoch=1))
    return tmp_path / "try_1"


def other_features(saved: Path, store: Path) -> list[str]:
    facts = small.facts(model="RN50")
    return [f"--features={small.write(saved.parent / 'other', facts=facts)}"]


def truncated(saved: Path, store: Path) -> list[str]:
    file = saved / "checkpoints" / "last" / "1" / "arrays" / "manifest.ocdbt"
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
            lambda saved, store: ["--query_sentences=1,few"],
            "query_sentences: expected whole numbers from 1 on, or all, found 'few'",
        ),
        (
            lambda saved, store: ["--query_seed=1"],
            "--query_seed has no effect without --query_sentences",
        ),
        (other_features, "trained on sentences with model 'ViT-B-32', found 'RN50'"),
        (truncated, "try_1/checkpoints/last/1/arrays/manifest.ocdbt: damaged: "),
        (existing, "evaluation: expected a path to make an evaluation at, it exists"),
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
