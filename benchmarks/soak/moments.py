"""When which signals come, drawn so that they come everywhere in a command."""

from __future__ import annotations

import bisect
import random
import signal

from benchmarks.soak.forked import Blow, Ended

# With how often each is drawn, next to others.
_SIGNALS: dict[tuple[signal.Signals, ...], int] = {
    (signal.SIGKILL,): 4,
    (signal.SIGTERM,): 2,
    (signal.SIGINT,): 2,
    (signal.SIGSTOP, signal.SIGCONT): 1,
    (signal.SIGSTOP, signal.SIGKILL): 1,
}
# Commands of whose operations on files fewer are seen do their work in other processes.
_FEW = 5


def drawn_blow(draw: random.Random, undisturbed: Ended) -> Blow:
    """Draws a blow for a command.

    Commands load for longer than they work. So half of the blows come before one of the
    operations on files, and three in ten at a time after the first of them that changes
    something: while a step is computed, or a library writes without Python. The clock
    of those begins at the operation before, as no two runs load equally fast.

    Args:
        draw: Source of numbers.
        undisturbed: How it ends when nothing disturbs it.
    """
    (signals,) = draw.choices(list(_SIGNALS), list(_SIGNALS.values()))
    way, times = draw.random(), undisturbed.operations
    if len(times) < _FEW or way < 0.2:
        return Blow(signals, None, draw.uniform(0, undisturbed.seconds))
    if way < 0.7:
        return Blow(signals, draw.randrange(len(times)))
    at = draw.uniform(times[undisturbed.first_write], undisturbed.seconds)
    before = bisect.bisect_right(times, at) - 1
    return Blow(signals, before, at - times[before])
