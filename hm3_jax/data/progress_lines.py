"""Progress of long work as lines of text, few enough for a log file."""

from __future__ import annotations

import sys
import time


class ProgressLines:
    """Prints how far some work is, and how long the rest will take, to stderr.

    Work that is done within seconds prints nothing. Stdout stays free for results.
    """

    def __init__(self, what: str, every: float = 5.0):
        """Starts the clock.

        Args:
            what: What is being done to the museums, to begin each line with.
            every: Seconds between lines.
        """
        self._what = what
        self._every = every
        self._start = self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Is told that `done` of `total` museums are done."""
        now = time.monotonic()
        if now - self._last < self._every or done >= total:
            return
        self._last = now
        speed = done / (now - self._start)
        print(
            f"{self._what}: {done} of {total} museums, {speed:,.0f} museums/s, "
            f"{(total - done) / speed:.0f} s left",
            file=sys.stderr,
            flush=True,
        )
