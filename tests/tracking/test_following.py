"""Trackers that fail, end their thread or hang stop nobody but themselves."""

import threading
import time
import warnings
from pathlib import Path

import pytest

from hm3_jax.tracking import following as module
from hm3_jax.tracking.following import NOBODY, following
from hm3_jax.tracking.tracker import numbers_of
from tests.tracking import runs


class Noting:
    """Notes what it is told, and does something at one of the messages."""

    name = "noting"

    def __init__(self, at: str = "", what=lambda: None):
        self.heard: list[str] = []
        self.abandoned = threading.Event()
        self._at, self._what = at, what

    def _hear(self, message: str) -> None:
        self.heard.append(message)
        if message == self._at:
            self._what()

    def begin(self, run) -> None:
        self._hear(f"begin {run.folder.name}")

    def epoch(self, run, epoch) -> None:
        self._hear(f"epoch {epoch.number} of {run.folder.name}")

    def end(self, run, ending) -> None:
        self._hear(f"end {run.folder.name}: {ending.failure or ending.test}")

    def close(self) -> None:
        self._hear("close")

    def abandon(self) -> None:
        self.abandoned.set()


EVERYTHING = [
    "begin try_1",
    "begin try_2",
    "epoch 1 of try_1",
    "epoch 1 of try_2",
    "epoch 2 of try_1",
    "end try_2: loss became nan",
    "epoch 3 of try_1",
    "end try_1: {'t2s_R@1': 12.5}",
]


def tell_everything(follower, folder: Path) -> None:
    one, other = runs.run(folder, 1), runs.run(folder, 2)
    follower.begin(one)
    follower.begin(other)
    follower.epoch(one, runs.epoch(1))
    follower.epoch(other, runs.epoch(1))
    follower.epoch(one, runs.epoch(2))
    follower.end(other, runs.FAILED)
    follower.epoch(one, runs.epoch(3))
    follower.end(one, runs.TESTED)


def fail() -> None:
    raise OSError(28, "No space left on device")


def test_trackers_hear_everything_in_order(tmp_path):
    trackers = [Noting(), Noting("epoch 1 of try_1", lambda: time.sleep(0.2))]
    with following(trackers) as follower:
        tell_everything(follower, tmp_path)
    for tracker in trackers:
        assert tracker.heard == [*EVERYTHING, "close"]
        assert not tracker.abandoned.is_set()


def test_nobody_listens_to_everything(tmp_path):
    tell_everything(NOBODY, tmp_path)
    with following([Noting()]):
        pass  # no thread was started, or it would be closed


@pytest.mark.parametrize("at", [*EVERYTHING, "close"])
@pytest.mark.parametrize("error", [fail, lambda: exit(3)], ids=["raises", "exits"])
def test_one_that_fails_is_switched_off_with_one_warning(tmp_path, at, error):
    failing, other = Noting(at, error), Noting()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with following([failing, other]) as follower:
            for _ in range(3):
                tell_everything(follower, tmp_path)
                time.sleep(0.01)
    (warning,) = caught
    why = "OSError: [Errno 28] No space left" if error is fail else "SystemExit: 3"
    text = "--log=noting is switched off, training continues: " + why
    assert str(warning.message).startswith(text)
    everything = [*EVERYTHING * 3, "close"]
    assert failing.heard == everything[: everything.index(at) + 1]
    assert other.heard == everything
    assert failing.abandoned.wait(60)
    assert not other.abandoned.is_set()


def test_one_that_hangs_is_not_waited_for(tmp_path, monkeypatch):
    waited = []
    join = threading.Thread.join

    def noting_join(thread, timeout=None):
        waited.append(timeout)
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", noting_join)
    hangs, for_ever = threading.Event(), threading.Event()
    hanging = Noting("epoch 1 of try_2", lambda: hangs.set() or for_ever.wait())
    with pytest.warns(UserWarning, match="no answer within 0.3 s"):
        with following([hanging], patience=0.3) as follower:
            tell_everything(follower, tmp_path)
            # What it hears while it is waited for would have the wait begin anew.
            assert hangs.wait(60)
            assert waited == []  # nor while training
    *for_an_answer, to_abandon = waited
    assert sum(for_an_answer) == pytest.approx(0.3)
    assert to_abandon == module._TO_ABANDON
    assert hanging.abandoned.wait(60)
    for_ever.set()


def test_a_slow_one_is_waited_for_as_long_as_it_goes_on(tmp_path):
    tracker = Noting()
    tracker._hear = lambda message: [  # type: ignore
        time.sleep(0.25),
        tracker.heard.append(message),
    ]
    with following([tracker], patience=2) as follower:  # shorter than all of it
        tell_everything(follower, tmp_path)
    assert tracker.heard == [*EVERYTHING, "close"]


def test_one_that_falls_behind_is_switched_off(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_WAITING", 4)
    for_ever = threading.Event()
    with pytest.warns(UserWarning, match="4 messages wait for it"):
        with following([Noting("begin try_1", for_ever.wait)]) as follower:
            tell_everything(follower, tmp_path)
    for_ever.set()


def test_what_training_raises_gets_through(tmp_path):
    tracker = Noting()
    with pytest.raises(KeyError):
        with following([tracker]) as follower:
            tell_everything(follower, tmp_path)
            raise KeyError
    assert tracker.heard[-1] == "close"


def test_names_of_numbers():
    line = {"a": 1, "b": {"c": 2.5, "d": {"e": None, "f": 0}}, "text": "x"}
    assert numbers_of(line) == {"a": 1.0, "b/c": 2.5, "b/d/f": 0.0}
