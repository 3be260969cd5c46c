"""TensorBoard's files as TensorBoard itself reads them."""

import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.util.tensor_util import make_ndarray

from hm3_jax.tracking.tensorboard import TensorBoard
from tests.tracking import runs


def events(folder: Path) -> list:
    """All events below a folder, in the order in which TensorBoard reads them."""
    files = sorted(folder.glob("events.out.tfevents.*"))
    assert files
    return [event for file in files for event in EventFileLoader(str(file)).Load()]


def values(event) -> dict[str, np.ndarray]:
    return {v.tag: make_ndarray(v.tensor) for v in event.summary.value}


def test_epochs_and_test(tmp_path):
    tracker, run = TensorBoard(), runs.run(tmp_path)
    tracker.begin(run)
    for number in (1, 2, 3):
        tracker.epoch(run, runs.epoch(number))
    tracker.end(run, runs.TESTED)
    tracker.close()
    version, start, *epochs, test = events(run.folder)
    assert version.file_version == "brain.Event:2"
    assert start.step == 1 and start.session_log.status == start.session_log.START
    for number, event in zip((1, 2, 3), epochs, strict=True):
        assert event.step == number
        found = values(event)
        histogram = found.pop("gradient_norm/steps")
        assert found == pytest.approx(
            {
                "epoch": number,
                "train_loss": 1 / number,
                "gradient_norm/mean": 0.5,
                "gradient_norm/max": 2,
                "val/t2s_R@1": 10 * number,
                "speed/museums_per_second": 100 * number,
                "speed/train_seconds": 2.5,
            }
        )
        left, right, count = histogram.T
        assert count.sum() == 7 and left[0] == 0 and right[-1] == number
    assert test.step == 3 and values(test) == {"test/t2s_R@1": 12.5}


def test_scalars_are_shown_as_curves(tmp_path):
    tracker, run = TensorBoard(), runs.run(tmp_path)
    tracker.begin(run)
    for number in (1, 2, 3):
        tracker.epoch(run, runs.epoch(number))
    shown = plugin_event_accumulator.EventAccumulator(str(run.folder))
    shown.Reload()
    of_plugins = shown.PluginTagToContent
    assert "val/t2s_R@1" in of_plugins("scalars")
    assert list(of_plugins("histograms")) == ["gradient_norm/steps"]
    assert [e.step for e in shown.Tensors("train_loss")] == [1, 2, 3]


def test_a_run_that_goes_on_says_what_no_longer_counts(tmp_path):
    first = TensorBoard()
    first.begin(runs.run(tmp_path))
    for number in (1, 2, 3):
        first.epoch(runs.run(tmp_path), runs.epoch(number))
    again = runs.run(tmp_path, finished_epochs=2)
    second = TensorBoard()
    second.begin(again)
    second.epoch(again, runs.epoch(3))
    *_, start, last = events(again.folder)
    assert start.step == 3 and start.session_log.status == start.session_log.START
    assert last.step == 3


def test_runs_have_files_of_their_own_and_none_stays_open(tmp_path):
    tracker = TensorBoard()
    before = set(Path("/proc/self/fd").iterdir())
    for attempt in range(1, 40):
        tracker.begin(runs.run(tmp_path, attempt))
        tracker.epoch(runs.run(tmp_path, attempt), runs.epoch(1, lr=attempt))
    assert len(set(Path("/proc/self/fd").iterdir()) - before) <= 1
    found = [values(events(tmp_path / f"try_{k}")[-1])["lr"] for k in range(1, 40)]
    assert found == list(range(1, 40))


def test_a_disk_that_takes_nothing_is_an_error_here_and_now(tmp_path):
    tracker, run = TensorBoard(), runs.run(tmp_path)
    tracker.begin(run)
    (file,) = run.folder.glob("events.*")
    file.unlink()
    file.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        tracker.epoch(run, runs.epoch(1))


def test_without_tensorboard_training_does_not_begin(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(ValueError, match=r"TensorBoard .*setup\.sh core logging$"):
        TensorBoard()
