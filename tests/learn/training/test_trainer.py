"""Training a strategy: what is logged, kept and tested, and when it ends."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hm3_jax.learn.batches.placement import OnDevice
from hm3_jax.learn.batches.plan import epoch_batches
from hm3_jax.learn.devices.mesh import Layout
from hm3_jax.learn.evaluation.split import Split
from hm3_jax.learn.model import stack, take_run
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.settings import Execution
from hm3_jax.learn.training.epoch import EpochInputs, ParamState, train_epoch
from hm3_jax.objective.metrics import retrieval_metrics
from hm3_jax.objective.triplet import TripletWeights
from tests import golden_data
from tests.learn import small

# Learns quietly to the end, and tests that.
CALM = {"scheduler_gamma": 1.0, "save_strategy": "last", "best_strategy": None}
# The val loss of one try soon rises again, that of the other falls for longer.
STEEP = {**CALM, "scheduler_gamma": 1.5}
PATIENCE = 2


def test_files(folder):
    assert sorted(small.results(folder)) == [
        "files.json",
        "strategy.json",
        "test_output.json",
        "test_output.npz",
        "try_1/by_length.json",
        "try_1/files.json",
        "try_1/metrics.jsonl",
        "try_1/run.json",
        "try_1/test_metrics.json",
        "try_2/by_length.json",
        "try_2/files.json",
        "try_2/metrics.jsonl",
        "try_2/run.json",
        "try_2/test_metrics.json",
    ]
    for attempt in (1, 2):
        assert (folder / f"try_{attempt}" / "checkpoints").is_dir()


@pytest.mark.parametrize("attempt", [1, 2])
def test_metrics_of_every_epoch_are_logged(folder, attempt):
    lines = small.log(folder, attempt)
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5]
    assert [line["lr"] for line in lines] == pytest.approx(
        [0.01, 0.01, 0.12, 0.12, 1.44]
    )
    weights = [line["second_loss_component_weight"] for line in lines]
    assert weights == pytest.approx([0.2, 0.1, 0.05, 0.025, 0.0125])
    for line in lines:
        assert list(line["train"]) == list(line["val"]) == golden_data.metrics_keys()
        assert line["train"] != line["val"]
    losses = [(line["train_loss"], line["val_loss"]) for line in lines]
    assert len(set(losses)) == 5 and np.isfinite(losses).all() and np.min(losses) > 0


@pytest.mark.thorough
def test_an_epoch_is_given_its_own_rate_weight_and_order(
    store, features, counts, tmp_path
):
    every_epoch = Execution(save_every_seconds=0)
    folder = small.train(store, tmp_path / "run", execution=every_epoch, epochs=3)
    before, after = (
        [
            checkpoint.load(folder / f"try_{k}", "last", epoch, optimizer=True)
            for k in (1, 2)
        ]
        for epoch in (2, 3)
    )
    weights = TripletWeights(
        margin=jnp.full(2, 0.25, jnp.float32),
        within_theme_margin=jnp.full(2, 0.15, jnp.float32),
        second_component_weight=jnp.full(2, 0.2 * 0.5**2, jnp.float32),
    )
    keys = jax.random.split(jax.random.key(0), 2)  # this loss draws nothing
    batches = np.stack(
        [
            epoch_batches(
                store.splits["train"], small.BATCH, seed=7, attempt=k, epoch=2
            )
            for k in (1, 2)
        ]
    )
    # As runs are laid out on a CPU, but planned for these batches alone.
    layout = Layout.of(2, jax.devices()[:1])
    planned = counts.plan(batches, layout)
    state, steps = train_epoch(
        ParamState(
            stack([found.model.params for found in before]),
            optax.ScaleByAdamState(**stack([found.optimizer for found in before])),
        ),
        EpochInputs(small.rates(0.12, 2), weights, keys, jnp.ones(2, bool)),
        planned,
        features,
        spec=before[0].model.spec,
        capacity=counts.capacity([planned]),
        loss=small.SETTINGS.loss_function,
        layout=layout,
    )
    losses = np.asarray(steps.loss)
    source, themes = OnDevice(features, layout), features.themes
    val = Split(source, counts, themes, store.splits["val"], "val", layout)
    val_losses = val.loss(
        val.embed(state.params, jnp.ones(2, bool), before[0].model.spec),
        small.BATCH,
        small.SETTINGS.loss_function,
        weights,
        keys,
    )
    for run, found in enumerate(after):
        line = small.log(folder, run + 1)[2]
        assert line["train_loss"] == pytest.approx(np.mean(losses[run]), rel=1e-6)
        assert line["val_loss"] == pytest.approx(val_losses[run], rel=1e-6)
        jax.tree.map(
            np.testing.assert_array_equal,
            take_run(state.params, run),
            found.model.params,
        )


def test_output_has_the_published_form(store, folder):
    output = json.loads((folder / "test_output.json").read_text())
    assert [run["n_try"] for run in output] == [1, 2]
    museums = store.splits["test"]
    for run in output:
        assert sorted(run) == [
            "ids_list",
            "metrics",
            "n_try",
            "output_categories",
            "output_description_test",
            "output_pov_test",
        ]
        assert run["ids_list"] == [store.ids[i] for i in museums]
        # Numbers, of the names in order: what the release's notebooks look up.
        assert sorted(store.themes) == list(store.themes)
        assert run["output_categories"] == store.theme_index[museums].tolist()
        assert run["metrics"] == small.outcome(folder, run["n_try"])["metrics"]
        # The embeddings are those the metrics are of.
        descriptions, scenes = (
            np.array(run[f"output_{name}_test"]) for name in ("description", "pov")
        )
        assert descriptions.shape == scenes.shape == (14, 6)
        found = retrieval_metrics(descriptions, scenes, store.theme_index[museums])
        assert found == run["metrics"]
    # And the same again as arrays.
    with np.load(folder / "test_output.npz") as arrays:
        assert arrays["ids"].tolist() == output[0]["ids_list"]
        assert arrays["themes"].tolist() == output[0]["output_categories"]
        for run in output:
            for name, key in (("descriptions", "description"), ("museums", "pov")):
                found = arrays[f"try_{run['n_try']}_{name}"]
                assert found.dtype == np.float32
                wanted = np.array(run[f"output_{key}_test"], np.float32)
                np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("attempt", [1, 2])
def test_the_best_epoch_is_what_is_tested(store, folder, attempt):
    lines = small.log(folder, attempt)
    scores = [line["val"]["t2s_mAP"] for line in lines]
    best = 1 + int(np.argmax(scores))
    assert best == {1: 2, 2: 3}[attempt]  # not the last, and not the same for both
    assert small.outcome(folder, attempt)["epoch"] == best
    # What was kept is what scored best on val.
    evaluation = small.evaluated(folder / f"try_{attempt}", store, "val")
    assert evaluation.epoch == best
    assert evaluation.tested.metrics == lines[best - 1]["val"]
    assert evaluation.tested.metrics != lines[-1]["val"]


def test_the_best_epoch_is_that_of_a_run_that_ends_there(store, folder, tmp_path):
    last = {"save_strategy": "last", "best_strategy": None}
    short = small.train(store, tmp_path / "short", epochs=2, **last)
    assert small.outcome(short, 1) == small.outcome(folder, 1)
    assert small.log(short, 1) == small.log(folder, 1)[:2]


def test_a_checkpoint_gives_the_tested_numbers(store, folder):
    output = json.loads((folder / "test_output.json").read_text())
    for run in output:
        found = small.evaluated(folder / f"try_{run['n_try']}", store, "test")
        assert dict(found.tested.metrics) == run["metrics"]
        for rows, key in (
            (found.tested.museums, "output_pov_test"),
            (found.tested.descriptions, "output_description_test"),
        ):
            np.testing.assert_array_equal(rows, np.array(run[key], np.float32))


def test_the_same_run_gives_the_same_bytes(store, folder, tmp_path):
    assert small.results(small.train(store, tmp_path / "again")) == small.results(
        folder
    )


def test_another_seed_gives_other_numbers(store, folder, tmp_path):
    other = small.train(store, tmp_path / "other", seed=8, epochs=1)
    assert small.log(other, 1)[0]["train_loss"] != small.log(folder, 1)[0]["train_loss"]


@pytest.mark.thorough
def test_tries_one_after_the_other_are_tries_at_once(store, tmp_path):
    runs = [
        small.train(
            store,
            tmp_path / str(n),
            epochs=3,
            execution=Execution(runs_at_once=n),
            **CALM,
        )
        for n in (1, 2)
    ]
    for attempt in (1, 2):
        alone, together = (small.log(run, attempt) for run in runs)
        small.same_losses(alone, together)
        assert small.outcome(runs[0], attempt) == small.outcome(runs[1], attempt)
    alone, together = (
        [
            try_["output_pov_test"]
            for try_ in json.loads((run / "test_output.json").read_text())
        ]
        for run in runs
    )
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_listeners_hear_of_every_epoch(store, folder, tmp_path):
    heard = []
    small.train(store, tmp_path / "run", listener=heard.append)
    assert [(report.epoch, report.epochs) for report in heard] == [
        (epoch, 5) for epoch in (1, 2, 3, 4, 5)
    ]
    name = f"run/{small.BY_ROOM.file_stem}/try_"
    for epoch, report in enumerate(heard):
        assert report.runs == [f"{name}1", f"{name}2"]
        for run in (0, 1):
            line = small.log(folder, run + 1)[epoch]
            assert report.train_loss[run] == line["train_loss"]
            assert report.val_loss[run] == line["val_loss"]
            assert report.val_metrics[run] == line["val"]
        assert report.museums_per_second > 0


@pytest.fixture(scope="module")
def stopped(store, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stopped") / "run"
    return small.train(store, folder, epochs=12, loss_patience=PATIENCE, **STEEP)


def test_every_try_ends_when_its_val_loss_no_longer_falls(stopped):
    lengths = []
    for attempt in (1, 2):
        losses = [line["val_loss"] for line in small.log(stopped, attempt)]
        waited = [
            epoch - int(np.argmin(losses[: epoch + 1])) for epoch in range(len(losses))
        ]
        # It ended as soon as it had waited long enough, or never had to.
        assert max(waited[:-1]) < PATIENCE
        assert waited[-1] == PATIENCE or len(losses) == 12
        lengths.append(len(losses))
    assert lengths[0] != lengths[1] and min(lengths) < 12


def test_a_try_that_ended_is_tested_as_it_was_then(store, stopped, tmp_path):
    ended = min(len(small.log(stopped, attempt)) for attempt in (1, 2))
    short = small.train(store, tmp_path / "run", epochs=ended, **STEEP)
    for attempt in (1, 2):
        epochs = len(small.log(stopped, attempt))
        outcome = small.outcome(stopped, attempt)
        assert outcome["epoch"] == epochs
        if epochs == ended:
            assert outcome == small.outcome(short, attempt)


def test_patience_alone_ends_a_run(store, tmp_path):
    heard = []
    small.train(
        store,
        tmp_path / "run",
        epochs=9,
        loss_patience=2,
        loss_delta=100.0,
        listener=heard.append,
    )
    assert len(heard) == 3  # the first epoch counts, two more do not
