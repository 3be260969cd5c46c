"""Progress of a long extraction in lines of text."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

# A line at most every so many seconds, and at most every so large a part of the time
# that has passed: a run of many hours ends with some hundred lines in its log.
_SECONDS, _PART, _MOST_SECONDS = 2.0, 0.02, 120.0


class ExtractionProgress:
    """Says how far the items of each kind are, how fast, and what is left."""

    def __init__(
        self,
        todo: Mapping[str, int],
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        """Starts the clock.

        Args:
            todo: Number of items of each kind that this run has to encode.
            say: Takes one line.
            clock: Seconds since whenever.
        """
        self._todo = dict(todo)
        self._done = dict.fromkeys(todo, 0)
        self._skipped = dict.fromkeys(todo, 0)
        self._say, self._clock = say, clock
        self._began = self._last_line = self._last_item = self._kind_began = clock()
        self._kind: str | None = None

    def add(self, kind: str, done: int, skipped: int = 0) -> None:
        """Counts items that are done, some of them skipped; may say a line."""
        now = self._clock()
        if kind != self._kind:
            self._kind, self._kind_began = kind, self._last_item
        self._last_item = now
        self._done[kind] += done
        self._skipped[kind] += skipped
        gap = min(max(_SECONDS, _PART * (now - self._began)), _MOST_SECONDS)
        if now - self._last_line >= gap or self._done[kind] == self._todo[kind]:
            self._last_line = now
            self._say(self._line(kind, now))

    def _line(self, kind: str, now: float) -> str:
        done, todo = self._done[kind], self._todo[kind]
        rate = done / max(now - self._kind_began, 1e-9)
        line = f"{kind}: {done:,} of {todo:,}, {rate:,.1f} {kind}/s"
        if done < todo:
            line += f", {duration((todo - done) / rate)} left"
        if self._skipped[kind]:
            line += f", {self._skipped[kind]:,} skipped"
        later = [
            f"{self._todo[other]:,} {other}"
            for other in self._todo
            if other != kind and self._done[other] < self._todo[other]
        ]
        return line + (f"; then {' and '.join(later)}" if later else "")


def duration(seconds: float) -> str:
    """A time to wait, in words: "45 s", "12 min", "1 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
