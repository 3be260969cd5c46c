"""Runs of different settings as one program: each is what it is alone."""

import contextlib
import dataclasses
import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hm3_jax.data.store import FeatureStore
from hm3_jax.learn.devices.mesh import Layout
from hm3_jax.learn.settings import Execution, TrainSettings
from hm3_jax.learn.training.experiment import Experiment, Listeners, run_experiments
from hm3_jax.learn.training.run_logs import EpochReport
from hm3_jax.learn.training.state import TrainingState
from tests.learn import small

STEM = small.FLAT.file_stem
PLAIN = TrainSettings(seed=1, batch_size=small.BATCH, epochs=3, lr=0.01)
THEMES = dataclasses.replace(PLAIN, use_categories_in_loss=True)
# Different in everything that may differ.
DIFFERENT = {
    "plain": PLAIN,
    "margin": dataclasses.replace(
        PLAIN, loss_margin=0.4, lr=0.003, seed=5, partial_descriptions=0.6
    ),
    "hard": dataclasses.replace(PLAIN, filter_out_hard_negatives=True, epochs=2),
    "themes": dataclasses.replace(THEMES, scheduler_step_size=1, scheduler_gamma=0.5),
    "within": dataclasses.replace(
        THEMES,
        loss_within_category_margin=0.1,
        second_loss_component_weight=0.3,
        second_loss_component_weight_decay_factor=1.5,
        save_strategy="best",
        best_strategy="s2t_mAP",
    ),
}
# The third of these ends after two epochs, the second after three.
ENDING = {
    "a": dataclasses.replace(PLAIN, epochs=6),
    "b": dataclasses.replace(PLAIN, epochs=6, loss_patience=2, loss_delta=100.0),
    "c": dataclasses.replace(PLAIN, epochs=6, loss_patience=1, loss_delta=100.0),
    "d": dataclasses.replace(PLAIN, epochs=6, lr=0.003),
}


def train(
    store: FeatureStore,
    to: Path,
    settings: Mapping[str, TrainSettings],
    listener: Callable[[EpochReport], None] = lambda report: None,
    resume: bool = False,
    **how: Any,
) -> list[str]:
    """Runs an experiment for each of the settings; names of the runs that failed."""
    experiments = [
        Experiment(
            strategies=[small.FLAT], settings=of_run, folder=to / name, name=name
        )
        for name, of_run in settings.items()
    ]
    silent = Listeners(lambda *_: None, listener, lambda *_: None)
    execution = Execution(data_placement="device", **how)
    return run_experiments(experiments, store, silent, execution, resume=resume)


def log(to: Path, name: str) -> list[dict[str, Any]]:
    return small.log(to / name / STEM, 1)


@pytest.fixture(params=["in turn", "side by side"])
def side_by_side(request, monkeypatch) -> bool:
    """Both ways to compute the runs of a device: that of CPUs, and that of GPUs."""
    if request.param == "side by side":
        as_on_gpus(monkeypatch)
    return request.param == "side by side"


def as_on_gpus(monkeypatch) -> None:
    of = Layout.of

    def wide(runs, devices=None, *, vector=None, **how):
        return of(runs, devices, vector=vector or runs, **how)

    monkeypatch.setattr(Layout, "of", wide)


@pytest.fixture(scope="module")
def alone(store, tmp_path_factory) -> Callable[[TrainSettings], Path]:
    """Trains a run by itself, once."""
    done: dict[TrainSettings, Path] = {}

    def alone(settings: TrainSettings) -> Path:
        if settings not in done:
            done[settings] = tmp_path_factory.mktemp("alone")
            train(store, done[settings], {"run": settings})
        return done[settings]

    return alone


def as_alone(to: Path, alone, settings: Mapping[str, TrainSettings]) -> None:
    for name, of_run in settings.items():
        wanted = alone(of_run)
        small.same_losses(log(to, name), log(wanted, "run"))
        folders = (to / name / STEM, wanted / "run" / STEM)
        outcomes = [small.outcome(folder, 1) for folder in folders]
        assert outcomes[0]["epoch"] == outcomes[1]["epoch"]


@pytest.mark.thorough
def test_runs_of_any_settings_are_as_if_alone(store, tmp_path, alone, side_by_side):
    heard = []
    train(store, tmp_path, DIFFERENT, listener=heard.append)
    assert [len(report.runs) for report in heard] == [5, 5, 4]
    as_alone(tmp_path, alone, DIFFERENT)
    losses = [log(tmp_path, name)[0]["train_loss"] for name in DIFFERENT]
    assert len({round(loss, 4) for loss in losses}) == len(DIFFERENT)


@pytest.fixture
def sizes(monkeypatch) -> list[int]:
    """Number of places in every epoch that is trained."""
    sizes = []
    after_epoch = TrainingState.after_epoch

    def noted(self, state, progress):
        sizes.append(len(self.slots.runs))
        return after_epoch(self, state, progress)

    monkeypatch.setattr(TrainingState, "after_epoch", noted)
    return sizes


@pytest.mark.thorough
def test_runs_that_end_make_room(store, tmp_path, alone, side_by_side, sizes):
    """The others do not notice; an interruption in between changes no byte."""
    heard = []
    train(store, tmp_path / "run", ENDING, listener=heard.append)
    assert [len(report.runs) for report in heard] == [4, 4, 3, 2, 2, 2]
    # Of four places two are left once two runs are; groups of one never change.
    assert sizes == ([4, 4, 4, 2, 2, 2] if side_by_side else [4] * 6)
    as_alone(tmp_path / "run", alone, ENDING)
    # Once "c" has ended, or both, and nothing is left of what the others saved.
    for last in (3, 5):
        to, resumed = tmp_path / f"interrupted_{last}", []
        with pytest.raises(KeyboardInterrupt):
            interrupt = small.interrupt_after(last)
            train(store, to, ENDING, listener=interrupt, save_every_seconds=0)
        for name in ("a", "d"):
            shutil.rmtree(to / name / STEM / "try_1" / "checkpoints")
        # "b" has not ended after the second epoch, and has saved it in vain.
        starts_again = pytest.warns(UserWarning, match="starts again")
        with starts_again if last == 3 else contextlib.nullcontext():
            train(store, to, ENDING, listener=resumed.append, resume=True)
        assert [report.epoch for report in resumed] == [1, 2, 3, 4, 5, 6]
        ended = {"b": 3, "c": 2}
        for report in resumed:
            names = {run.split("/")[0] for run in report.runs}
            going_on = {
                n for n in "bc" if last <= ended[n] and report.epoch <= ended[n]
            }
            assert names == {"a", "d", *going_on}
        for name in ENDING:
            found, wanted = (
                small.results(path / name / STEM) for path in (to, tmp_path / "run")
            )
            assert found == wanted


FOUR = dataclasses.replace(PLAIN, epochs=4)
# The second diverges in its third epoch, the last in its first.
DIVERGING = {
    "a": FOUR,
    "b": dataclasses.replace(FOUR, scheduler_step_size=2, scheduler_gamma=1e32),
    "d": dataclasses.replace(FOUR, lr=0.003),
    "e": dataclasses.replace(FOUR, lr=1e30),
}


def test_a_run_that_diverges_is_put_aside(store, tmp_path, alone, side_by_side):
    def train_on(to, **how):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            failed = train(store, to, DIVERGING, keep_going=True, **how)
        return failed, [str(warning.message) for warning in caught]

    failed, messages = train_on(tmp_path / "run")
    assert failed == [f"b/{STEM}/try_1", f"e/{STEM}/try_1"]
    assert len(messages) == 2
    assert messages[0].startswith(f"e/{STEM}/try_1: loss became nan in epoch 1, step 2")
    assert messages[1].startswith(f"b/{STEM}/try_1: loss became nan in epoch 3, step 2")
    sound = {name: DIVERGING[name] for name in ("a", "d")}
    as_alone(tmp_path / "run", alone, sound)
    for name, epochs in (("b", 2), ("e", 0)):
        folder = tmp_path / "run" / name / STEM
        assert len(log(tmp_path / "run", name)) == epochs
        about = json.loads((folder / "try_1" / "failed.json").read_text())
        assert about["epoch"] == epochs and about["failure"].startswith("loss became")
        assert not (folder / "try_1" / "test_metrics.json").exists()
        experiment = json.loads((folder.parent / "experiment.json").read_text())
        assert experiment["runs"][0]["n_tries"] == 0

    # Interrupted after both had failed, with nothing saved of the others.
    with pytest.raises(KeyboardInterrupt), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interrupt = small.interrupt_after(4)
        train(store, tmp_path / "again", DIVERGING, interrupt, keep_going=True)
    heard = []
    failed, messages = train_on(tmp_path / "again", resume=True, listener=heard.append)
    assert failed == [f"b/{STEM}/try_1", f"e/{STEM}/try_1"] and messages == []
    assert [len(report.runs) for report in heard] == [2, 2, 2, 2]
    for name in DIVERGING:
        found, wanted = (
            small.results(tmp_path / of / name / STEM) for of in ("again", "run")
        )
        assert found == wanted
