"""How long each step may take."""

from __future__ import annotations

import time

from benchmarks.gpu.stages import Stage, Step

# Of a step's share of the time that is left, what it may take: most take less.
_GENEROUS = 2.5


class Clock:
    """Splits the time that is left between the steps that are left."""

    def __init__(self, minutes: float, stages: tuple[Stage, ...]):
        """Begins now."""
        self._end = time.monotonic() + 60 * minutes
        self._waiting = {
            (stage.name, step.name): step.seconds
            for stage in stages
            for step in stage.steps
        }

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return max(0.0, self._end - time.monotonic())

    def limit(self, stage: Stage, step: Step) -> float:
        """Seconds that a step may take; it is not among the waiting any more."""
        waiting = sum(self._waiting.values())
        self._waiting.pop((stage.name, step.name), None)
        share = self.left * step.seconds / max(waiting, step.seconds)
        return min(self.left, _GENEROUS * share)

    def forget(self, stage: Stage) -> None:
        """Leaves the time of a stage to the others."""
        for step in stage.steps:
            self._waiting.pop((stage.name, step.name), None)
