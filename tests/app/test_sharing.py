"""Runs, shared: whose numbers a folder has, and what takes it in place of a run."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from hm3_jax.app.evaluation import EvaluationSettings, evaluate_all
from hm3_jax.app.index_building import embed_store
from hm3_jax.app.models import load_checkpoint
from hm3_jax.app.sharing import origin_of, share
from hm3_jax.data.store import FeatureStore, open_store
from hm3_jax.data.synthetic import synthesize
from hm3_jax.data.synthetic_plan import SyntheticConfig
from hm3_jax.files.json_files import read_json, write_json
from hm3_jax.interop.release_folder import write_release_folder
from hm3_jax.interop.shared_facts import read_facts
from hm3_jax.learn.saved import checkpoint
from hm3_jax.nn.strategy import hm3_strategy
from tests.commands import fail, succeed
from tests.entries.test_entry_items import save_trained
from tests.interop import hub_server
from tests.interop.hub_server import Hub
from tests.learn import small


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return open_store(small.write(tmp_path_factory.mktemp("small") / "store"))


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory) -> Path:
    """Folder of a strategy with two tries."""
    return small.train(
        store,
        tmp_path_factory.mktemp("trained") / "STL",
        epochs=2,
        save_strategy="last",
        best_strategy=None,
    )


@pytest.fixture(scope="module")
def shared(trained, tmp_path_factory) -> Path:
    """Its first try, shared."""
    source = trained / "try_1"
    folder = tmp_path_factory.mktemp("shared") / "model"
    assert share(checkpoint.load_model(source), source, folder) is None
    return folder


@pytest.fixture
def copy(trained, tmp_path) -> Path:
    """A copy of the strategy's folder, in its experiment, to be edited: unlisted."""
    folder = shutil.copytree(trained.parent, tmp_path / "STL") / trained.name
    for name in ("files.json", "try_1/files.json", "try_2/files.json"):
        (folder / name).unlink()
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Hub]:
    """A hub that commands use."""
    with hub_server.running() as running:
        for name, value in running.environment(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        yield running


def metrics_of(strategy: Path, attempt: int) -> dict[str, float]:
    return read_json(strategy / f"try_{attempt}" / "test_metrics.json")["metrics"]


def test_the_numbers_are_those_of_the_run(trained, shared, store):
    facts, _ = read_facts(shared / "hm3_jax.json")
    origin = facts.origin
    assert origin is not None and origin.metrics is not None
    assert origin.metrics == metrics_of(trained, 1)
    assert (origin.experiment, origin.attempt) == ("STL", 1)
    assert (origin.dataset_name, origin.dataset_kind) == ("small", "real")
    assert origin.test_museums == len(store.splits["test"]) == 14
    (entry,) = read_json(trained.parent / "experiment.json")["runs"]
    assert origin.tries is not None and origin.tries.count == 2
    for found, wanted in (
        (origin.tries.mean, entry["test_metrics_mean"]),
        (origin.tries.std, entry["test_metrics_std"]),
    ):
        assert found.keys() == wanted.keys()
        for key, number in wanted.items():
            assert found[key] == pytest.approx(number, rel=1e-12, abs=1e-12)
    own, mean = origin.metrics["t2s_mAP"], origin.tries.mean["t2s_mAP"]
    assert f"| mAP | {own:.1f} | {mean:.1f} (" in (shared / "README.md").read_text()
    settings = read_json(trained / "try_1" / "run.json")["settings"]
    assert {**(facts.settings or {}), "try": 1} == settings
    assert facts.epoch == 2


def test_a_test_of_other_weights_is_left_out(copy):
    path = copy / "try_1" / "test_metrics.json"
    write_json(path, {**read_json(path), "epoch": 1})
    with pytest.warns(UserWarning, match="its test is of epoch 1, its checkpoint of e"):
        origin = origin_of(copy / "try_1", 2)
    assert origin is not None and origin.metrics is None and origin.tries is None


def test_tries_of_another_setting_or_damaged_do_not_count(copy):
    shutil.rmtree(copy / "try_2" / "checkpoints")  # they say another lr
    path = copy / "try_2" / "run.json"
    record = read_json(path)
    record["settings"]["lr"] = 3.0
    write_json(path, record)
    origin = origin_of(copy / "try_1", 2)
    assert origin is not None and origin.tries is not None
    assert origin.tries.count == 1 and origin.tries.mean == origin.metrics
    assert set(origin.tries.std.values()) == {0.0}
    path.write_text("{")
    with pytest.warns(UserWarning, match=f"{path}: expected JSON, .*; the try is left"):
        assert origin_of(copy / "try_1", 2) == origin


def test_a_damaged_run_is_named(copy):
    for name in ("try_1/run.json", "try_1/test_metrics.json", "test_output.json"):
        path = copy / name
        before = path.read_text()
        path.write_text(before[:-20])
        with pytest.raises(ValueError, match=str(path)):
            origin_of(copy / "try_1", 2)
        path.write_text(before)
    (copy.parent / "experiment.json").unlink()
    (copy / "test_output.json").unlink()
    origin = origin_of(copy / "try_1", 2)
    assert origin is not None and origin.experiment == "STL"
    assert (origin.dataset_kind, origin.test_museums) == ("unknown", None)


def test_a_folder_without_a_run_has_no_origin(trained, shared, tmp_path):
    assert origin_of(shared, 2) is None
    shutil.copytree(trained / "try_1" / "checkpoints", tmp_path / "try_1/checkpoints")
    assert origin_of(tmp_path / "try_1", 2) is None


def test_it_is_taken_wherever_a_checkpoint_is(trained, shared, store, tmp_path):
    settings = EvaluationSettings(
        checkpoints=(str(trained / "try_1"), str(shared)),
        splits=("test",),
        output=tmp_path / "evaluation",
    )
    (_, wanted), (_, found) = evaluate_all(settings, store, lambda lines: None)
    assert found.tested.metrics == wanted.tested.metrics == metrics_of(trained, 1)
    assert (found.epoch, found.strategy) == (2, small.BY_ROOM.file_stem)
    of_run, of_shared = (
        embed_store(load_checkpoint(f), store) for f in (trained / "try_1", shared)
    )
    # So --append adds by the one to an index by the other.
    assert of_shared.facts == of_run.facts
    np.testing.assert_array_equal(
        of_shared.museums.columns["vectors"], of_run.museums.columns["vectors"]
    )


def test_features_of_another_model_are_refused(shared, tmp_path):
    other = small.write(tmp_path / "store", facts=small.facts(weights="laion2b"))
    with pytest.raises(ValueError, match="trained on sentences with weights 'openai'"):
        evaluate_all(
            EvaluationSettings((str(shared),), ("test",), tmp_path / "evaluation"),
            open_store(other),
            lambda lines: None,
        )


def test_a_folder_of_the_release_says_too_little(tmp_path, trained):
    model = checkpoint.load_model(trained / "try_1").model
    config = hm3_strategy(model.config)
    write_release_folder(tmp_path / "released", config, model.params)
    with pytest.raises(ValueError, match=r"\(convert --from=pytorch makes a check"):
        load_checkpoint(tmp_path / "released")
    with pytest.raises(FileNotFoundError, match="expected a checkpoint"):
        load_checkpoint(tmp_path / "nowhere")


def push(source: Path, *more: str) -> list[str]:
    return [
        "--from=orbax",
        "--to=shared",
        f"--input={source}",
        "--output=model",
        "--push_to_hub=ann/museums",
        *more,
    ]


@pytest.mark.thorough
def test_a_run_goes_to_the_hub_and_back(hub, trained, store, run_module, tmp_path):
    arguments = push(trained / "try_1", "--private")
    shown = succeed(run_module("hm3_jax.convert", *arguments))
    model = hub.models["ann/museums"]
    assert shown == (
        f"{small.BY_ROOM.file_stem}: written to model\n"
        f"pushed to hub:ann/museums: {hub.address}/ann/museums/commit/{model.head}\n"
    )
    assert model.private
    assert small.contents(tmp_path / "model").items() <= model.files.items()
    first = model.head
    (tmp_path / "model").rename(tmp_path / "first")
    succeed(run_module("hm3_jax.convert", *push(trained / "try_2")))

    both = f"--checkpoint=hub:ann/museums@{first},hub:ann/museums"
    features = f"--features={store.path}"
    arguments = (both, features, "--output=evaluation")
    succeed(run_module("hm3_jax.evaluate", *arguments))
    for name, attempt in ((f"museums_{first}", 1), ("museums", 2)):
        found = read_json(tmp_path / "evaluation" / name / "metrics.json")
        assert found == metrics_of(trained, attempt)


@pytest.mark.slow
def test_the_hub_does_for_every_checkpoint(hub, trained, store, run_module, tmp_path):
    succeed(run_module("hm3_jax.convert", *push(trained / "try_2")))
    features = f"--features={store.path}"
    arguments = ("--checkpoint=hub:ann/museums", features, "--output=index")
    shown = succeed(run_module("hm3_jax.build_index", *arguments))
    assert shown.startswith(f"{small.MUSEUMS} museums embedded")
    arguments = ("--from=shared", "--to=orbax", "--input=hub:ann/museums")
    succeed(run_module("hm3_jax.convert", *arguments, "--output=ours"))
    kept, wanted = (
        checkpoint.load_model(f) for f in (tmp_path / "ours", trained / "try_2")
    )
    jax.tree.map(np.testing.assert_array_equal, kept.model.params, wanted.model.params)
    assert kept.settings == wanted.settings


@pytest.mark.thorough
def test_late_interaction_goes_to_the_hub_and_is_searched_with(
    hub, run_module, tmp_path
):
    config = SyntheticConfig(museums=40, feature_size=32, sentences=6, rooms=2)
    synthesize(tmp_path / "store", config)
    save_trained(tmp_path / "trained", open_store(tmp_path / "store"))
    succeed(run_module("hm3_jax.convert", *push(tmp_path / "trained")))
    assert hub.models["ann/museums"].files["README.md"].startswith(b"---\n")
    names = ("hub:ann/museums", str(tmp_path / "trained"))
    features = "--features=store"
    arguments = (f"--checkpoint={','.join(names)}", features, "--output=evaluation")
    succeed(run_module("hm3_jax.evaluate", *arguments))
    folders = (tmp_path / "evaluation").glob("*/metrics.json")
    pushed, own = map(read_json, folders)
    assert pushed == own
    answers = []
    for number, name in enumerate(names):
        arguments = (f"--checkpoint={name}", features, f"--output=index{number}")
        succeed(run_module("hm3_jax.build_index", *arguments))
        asked = (f"--index=index{number}", "--query=A golden angel.", "--json")
        answers.append(succeed(run_module("hm3_jax.search", *asked)))
    assert answers[0] == answers[1]


def test_what_is_on_the_hub_may_be_something_else(hub, store, run_module):
    hub.models["ann/other"] = hub_server.Repository()
    hub.models["ann/other"].commit({"README.md": b"# Other\n"})
    arguments = ["--checkpoint=hub:ann/other", f"--features={store.path}"]
    fail(
        run_module("hm3_jax.evaluate", *arguments, "--output=evaluation"),
        "hub:ann/other: expected a model of hm3_jax, found neither hm3_jax.json nor",
    )


def test_damage_on_the_hub_is_found(hub, shared, store, run_module):
    files = {path.name: path.read_bytes() for path in shared.iterdir()}
    weights = bytearray(files["model.safetensors"])
    weights[-1] ^= 1
    hub.models["ann/damaged"] = hub_server.Repository()
    hub.models["ann/damaged"].commit(files | {"model.safetensors": bytes(weights)})
    arguments = ["--checkpoint=hub:ann/damaged", f"--features={store.path}"]
    fail(
        run_module("hm3_jax.evaluate", *arguments, "--output=evaluation"),
        "model.safetensors: damaged, or not the file that hm3_jax.json was written wit",
    )


def test_a_push_that_is_refused_leaves_nothing(hub, trained, run_module, tmp_path):
    arguments = [x.replace("ann/", "bob/") for x in push(trained / "try_1")]
    fail(
        run_module("hm3_jax.convert", *arguments),
        "hub:bob/museums: expected a model that you may write, found that your login",
    )
    assert not list(tmp_path.glob("*model*")) and hub.models == {}


def test_ctrl_c_while_pushing(hub, trained, run_module, tmp_path):
    """Nothing is left half done, here or there, and the same command ends it."""
    hub.hold_uploads = threading.Event()
    process = subprocess.Popen(
        [sys.executable, "-m", "hm3_jax.convert", *push(trained / "try_1")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert hub.upload_begun.wait(120)
    assert list(tmp_path.glob(".model.partial-*"))
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=120) == ("", "interrupted\n")
    assert process.returncode == 130
    assert not list(tmp_path.glob("*model*"))
    assert list(hub.models["ann/museums"].files) == [".gitattributes"]
    hub.hold_uploads.set()
    hub.hold_uploads = None
    succeed(run_module("hm3_jax.convert", *push(trained / "try_1")))
    assert "model.safetensors" in hub.models["ann/museums"].files


@pytest.mark.parametrize(
    ("forms", "flags", "complaint"),
    [
        ("shared orbax", ["--push_to_hub=a/b"], "--push_to_hub is for --to=shared, fo"),
        ("orbax shared", ["--private"], "--private has no effect without --push_to_h"),
        ("orbax shared", ["--push_to_hub=b"], "--push_to_hub=b: expected USER/NAME, f"),
        ("orbax shared", [], "nowhere: expected a checkpoint (a try_K folder of a run"),
        ("shared orbax", [], "hm3_jax.json: expected the facts of a shared model, fou"),
        ("shared shared", [], "expected two forms, found --from=shared --to=shared"),
    ],
)
def test_wrong_input(run_module, tmp_path, forms, flags, complaint):
    source, made = forms.split()
    arguments = [f"--from={source}", f"--to={made}", "--input=nowhere", *flags]
    fail(run_module("hm3_jax.convert", *arguments, "--output=model"), complaint)
    assert not list(tmp_path.iterdir())
