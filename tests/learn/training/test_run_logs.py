"""What runs write and tell of their epochs; who listens changes no run."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hm3_jax.learn.batches.plan import batch_themes, epoch_batches
from hm3_jax.learn.saved.run import Run
from hm3_jax.learn.settings import Execution
from hm3_jax.learn.training.run_logs import RunEpoch
from tests.learn import small

EVERY_EPOCH = Execution(save_every_seconds=0)


class Listening:
    """Keeps what it is told; raises at one kind of message, if told so."""

    name = "listening"

    def __init__(self, fails_at: str = ""):
        self.told: list[tuple[str, Any, Any]] = []
        self._fails_at = fails_at

    def _hear(self, what: str, run: Any = None, about: Any = None) -> None:
        self.told.append((what, run, about))
        if what == self._fails_at:
            raise ConnectionError("the other side is gone")

    def of(self, what: str) -> list[tuple[Any, Any]]:
        return [(run, about) for kind, run, about in self.told if kind == what]

    def begin(self, run) -> None:
        self._hear("begin", run)

    def epoch(self, run, epoch) -> None:
        self._hear("epoch", run, epoch)

    def end(self, run, ending) -> None:
        self._hear("end", run, ending)

    def close(self) -> None:
        self._hear("close")

    def abandon(self) -> None:
        pass


def speed(folder: Path, attempt: int) -> list[dict[str, Any]]:
    text = (folder / f"try_{attempt}" / "speed.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_gradient_norms_and_themes_are_logged(store, folder):
    """The themes are those of the batches; what a norm is, test_epoch knows."""
    for attempt in (1, 2):
        lines = small.log(folder, attempt)
        for epoch, line in enumerate(lines):
            batches = epoch_batches(
                store.splits["train"], 5, seed=7, attempt=attempt, epoch=epoch
            )
            wanted = batch_themes(batches, store.theme_index).summary()
            assert line["batch_themes"] == wanted
            norm = line["gradient_norm"]
            assert 0 < norm["mean"] < norm["max"] < 3 * norm["mean"]
        themes = [line["batch_themes"]["same_theme_pairs"] for line in lines]
        assert len(set(themes)) > 1


def test_a_line_is_json_whatever_the_gradient():
    norms = np.array([1, 3, np.inf], np.float32)
    themes = batch_themes(np.array([[0, 1]]), np.array([0, 0]))
    came_to = RunEpoch(np.array([1, 2, 6], np.float32), norms, themes, 2.0, {}, {})
    run = Run("name", small.SETTINGS, 1, Path("folder"))
    line = came_to.line(run, 1)
    assert line["gradient_norm"] == {"mean": None, "max": None}
    assert line["train_loss"] == 3.0 and line["epoch"] == 2
    json.dumps(line, allow_nan=False)
    finite = RunEpoch(norms, norms[:2], themes, 2.0, {}, {}).line(run, 0)
    assert finite["gradient_norm"] == {"mean": 2.0, "max": 3.0}


def test_time_is_in_a_file_of_its_own(folder):
    for attempt in (1, 2):
        lines = speed(folder, attempt)
        assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5]
        for line in lines:
            # Both runs train 14 museums.
            seconds = 2 * 14 / line["museums_per_second"]
            assert line["train_seconds"] == pytest.approx(seconds)
            assert line["runs"] == 2 and line["score_seconds"] > 0
            # All epochs are one program.
            assert (line["compile_seconds"] > 0) == (line["epoch"] == 1)
        text = (folder / f"try_{attempt}" / "metrics.jsonl").read_text()
        assert "second" not in text.replace("second_loss_component_weight", "")


def test_listeners_hear_what_is_in_the_files(store, folder, tmp_path):
    listening = Listening()
    found = small.train(store, tmp_path / "run", trackers=[listening])
    assert small.results(found) == small.results(folder)
    assert listening.told[-1][0] == "close"
    for attempt, (run, _) in zip((1, 2), listening.of("begin"), strict=True):
        assert run.name == f"run/{found.name}/try_{attempt}" and run.group == "run"
        assert run.folder == found / f"try_{attempt}"
        assert run.finished_epochs == 0
        record = json.loads((run.folder / "run.json").read_text())
        assert {**run.facts, "together": record["together"]} == record
        epochs = [e for of, e in listening.of("epoch") if of is run]
        assert [e.line for e in epochs] == small.log(found, attempt)
        for epoch, line in zip(epochs, speed(found, attempt), strict=True):
            assert {**epoch.speed, "epoch": epoch.number}.items() <= line.items()
            norms = epoch.samples["gradient_norm/steps"]
            assert norms.max() == np.float32(epoch.line["gradient_norm"]["max"])
            museums = epoch.samples["batch_themes/museums_of_a_theme"]
            assert museums.sum() == 14
            assert epoch.scalars()["val/t2s_R@10"] == epoch.line["val"]["t2s_R@10"]
        (ending,) = [e for of, e in listening.of("end") if of is run]
        outcome = small.outcome(found, attempt)
        assert (ending.epoch, ending.test) == (outcome["epoch"], outcome["metrics"])
        assert ending.failure is None


@pytest.mark.parametrize("at", ["begin", "epoch", "end", "close"])
def test_a_listener_that_fails_changes_nothing(store, folder, tmp_path, at):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        failing = Listening(fails_at=at)
        found = small.train(store, tmp_path / "run", trackers=[failing])
    (warning,) = caught
    why = "training continues: ConnectionError: the other side is gone"
    assert str(warning.message) == f"--log=listening is switched off, {why}"
    assert small.results(found) == small.results(folder)


def test_nor_does_a_folder_that_takes_no_more_files(store, folder, tmp_path):
    def listener(report):
        if report.epoch == 2:  # nobody can write there from now on
            path = tmp_path / "run" / small.BY_ROOM.file_stem / "try_1" / "speed.jsonl"
            path.unlink()
            path.mkdir()

    with pytest.warns(UserWarning, match="--log=jsonl is switched off.*IsADirectory"):
        found = small.train(store, tmp_path / "run", listener=listener)
    assert small.results(found) == small.results(folder)


def test_a_run_that_goes_on_is_told_from_there(store, folder, tmp_path):
    first, second, third = Listening(), Listening(), Listening()
    how: dict[str, Any] = {"execution": EVERY_EPOCH}
    with pytest.raises(KeyboardInterrupt):
        small.train(
            store,
            tmp_path / "run",
            listener=small.interrupt_after(3),
            trackers=[first],
            **how,
        )
    assert [e.number for _, e in first.of("epoch")] == [1, 1, 2, 2, 3, 3]
    assert not first.of("end") and first.told[-1][0] == "close"
    small.train(store, tmp_path / "run", resume=True, trackers=[second], **how)
    assert [run.finished_epochs for run, _ in second.of("begin")] == [2, 2]
    assert [e.number for _, e in second.of("epoch")] == [3, 3, 4, 4, 5, 5]
    found = tmp_path / "run" / folder.name
    # Time was spent on epoch 3 twice.
    assert [line["epoch"] for line in speed(found, 1)] == [1, 2, 3, 3, 4, 5]
    # Runs that have ended are tested again.
    small.train(store, tmp_path / "run", resume=True, trackers=[third], **how)
    assert [kind for kind, *_ in third.told] == ["begin", "end"] * 2 + ["close"]
    assert small.results(found) == small.results(folder)


def test_it_is_told_that_a_run_has_failed(store, tmp_path):
    listening = Listening()
    with pytest.warns(UserWarning, match="loss became nan"):
        small.train(
            store,
            tmp_path / "run",
            execution=Execution(keep_going=True),
            trackers=[listening],
            scheduler_gamma=1e32,
        )
    endings = [ending for _, ending in listening.of("end")]
    assert [ending.epoch for ending in endings] == [2, 2]
    assert all("loss became nan in epoch 3" in e.failure for e in endings)
    assert all(ending.test == {} for ending in endings)
