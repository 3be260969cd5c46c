"""Trackers in threads of their own, so that none can stop or delay training."""

import contextlib
import queue
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from hm3_jax.tracking.tracker import Ending, TrackedEpoch, TrackedRun, Tracker

# Messages that wait for a tracker before it counts as stuck.
_MOST_WAITING = 20_000
# Seconds a tracker gets, at the end, for each message that still waits.
_PATIENCE = 60.0
# Seconds one that is switched off gets to take back what it would do later.
_TO_ABANDON = 2.0


class Follower(Protocol):
    """What training tells about its runs; never raises."""

    def begin(self, run: TrackedRun) -> None:
        """A run begins or goes on."""

    def epoch(self, run: TrackedRun, epoch: TrackedEpoch) -> None:
        """A run has taken an epoch."""

    def end(self, run: TrackedRun, ending: Ending) -> None:
        """A run has ended."""


@contextlib.contextmanager
def following(
    trackers: Sequence[Tracker], patience: float = _PATIENCE
) -> Iterator[Follower]:
    """Tells all trackers what it is told; at the end, waits until they have heard it.

    A tracker that raises, dies or falls far behind is switched off with one warning.

    Args:
        trackers: to be told.
        patience: seconds that one message may take at the end.
    """
    threads = [_Thread(tracker) for tracker in trackers]
    try:
        yield _All(threads)
    finally:
        for thread in threads:
            thread.close(patience)


class _All:
    """Tells several threads."""

    def __init__(self, threads: Sequence["_Thread"]):
        self._threads = threads

    def begin(self, run: TrackedRun) -> None:
        self._tell(lambda tracker: tracker.begin(run))

    def epoch(self, run: TrackedRun, epoch: TrackedEpoch) -> None:
        self._tell(lambda tracker: tracker.epoch(run, epoch))

    def end(self, run: TrackedRun, ending: Ending) -> None:
        self._tell(lambda tracker: tracker.end(run, ending))

    def _tell(self, message: Callable[[Tracker], None]) -> None:
        for thread in self._threads:
            thread.tell(message)


NOBODY: Follower = _All(())
"""Listens to nothing."""


class _Thread:
    """One tracker, told in order by a thread that starts with the first message."""

    def __init__(self, tracker: Tracker):
        self._tracker = tracker
        # None ends the thread.
        self._messages: queue.Queue[Callable[[Tracker], None] | None] = queue.Queue(
            _MOST_WAITING
        )
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._heard = 0
        self._failure: BaseException | None = None
        self._switched_off = False

    def tell(self, message: Callable[[Tracker], None] | None) -> None:
        self._look_for_failure()
        if self._switched_off:
            return
        if self._thread.ident is None:
            self._thread.start()
        try:
            self._messages.put_nowait(message)
        except queue.Full:
            self._switch_off(f"{_MOST_WAITING} messages wait for it")

    def close(self, patience: float) -> None:
        if self._thread.ident is None or self._switched_off:
            return
        self.tell(lambda tracker: tracker.close())
        self.tell(None)
        heard = -1
        while self._thread.is_alive() and heard < self._heard:
            heard = self._heard
            self._wait_for_more(patience, heard)
        self._look_for_failure()
        if self._thread.is_alive() and not self._switched_off:
            self._switch_off(f"no answer within {patience:g} s")

    def _wait_for_more(self, patience: float, heard: int) -> None:
        """Waits until the thread ends, or a message more is heard at least."""
        step = 0.05
        for _ in range(round(patience / step)):
            self._thread.join(step)
            if not self._thread.is_alive() or self._heard > heard:
                return

    def _work(self) -> None:
        try:
            while (message := self._messages.get()) is not None:
                message(self._tracker)
                self._heard += 1
        # Libraries end threads with SystemExit too.
        except BaseException as error:
            self._failure = error

    def _look_for_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            lines = str(failure).splitlines() or [""]
            self._switch_off(f"{type(failure).__name__}: {lines[0]}")

    def _abandon(self) -> None:
        with contextlib.suppress(BaseException):
            self._tracker.abandon()

    def _switch_off(self, why: str) -> None:
        self._switched_off = True
        last = threading.Thread(target=self._abandon, daemon=True)
        last.start()
        last.join(_TO_ABANDON)
        warnings.warn(
            f"--log={self._tracker.name} is switched off, training continues: {why}",
            stacklevel=2,
        )
