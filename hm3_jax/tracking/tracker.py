"""What a run tells those that follow it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclasses.dataclass(frozen=True, slots=True)
class TrackedRun:
    """A run, as those that follow it know it.

    Attributes:
        name: EXPERIMENT/STRATEGY/try_K.
        group: name of its experiment.
        folder: of the try; the run's files are there.
        finished_epochs: number of epochs it had taken when it began or went on.
        facts: strategy, settings and features, as in `run.json`.
    """

    name: str
    group: str
    folder: Path
    finished_epochs: int
    facts: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class TrackedEpoch:
    """One epoch of one run.

    Attributes:
        number: of finished epochs.
        line: what `metrics.jsonl` has of it.
        speed: what depends on time: `museums_per_second` and such.
        samples: values of which a distribution tells more than a mean.
    """

    number: int
    line: Mapping[str, Any]
    speed: Mapping[str, Any]
    samples: Mapping[str, np.ndarray]

    def scalars(self) -> dict[str, float]:
        """All numbers of the epoch; levels of the line are joined by a slash."""
        return {**numbers_of(self.line), **numbers_of({"speed": self.speed})}


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """How a run has ended.

    Attributes:
        epoch: number of finished epochs of the tested parameters.
        test: metrics of the test split, empty if the run has failed.
        failure: what went wrong, None if nothing did.
    """

    epoch: int
    test: Mapping[str, float]
    failure: str | None = None


class Tracker(Protocol):
    """Follows runs; may raise whatever it likes, see `tracking.following`."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def begin(self, run: TrackedRun) -> None:
        """A run begins or goes on; epochs after its finished ones come again."""

    def epoch(self, run: TrackedRun, epoch: TrackedEpoch) -> None:
        """A run that has begun has taken an epoch."""

    def end(self, run: TrackedRun, ending: Ending) -> None:
        """A run that has begun has ended."""

    def close(self) -> None:
        """Nothing more comes, also of runs that have not ended."""

    def abandon(self) -> None:
        """It is switched off, perhaps while it does something; called elsewhere."""


def numbers_of(line: Mapping[str, Any]) -> dict[str, float]:
    """Numbers in a nested mapping by their path, levels joined by a slash."""
    found: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, Mapping):
            inner = numbers_of(value)
            found |= {f"{name}/{below}": number for below, number in inner.items()}
        elif isinstance(value, int | float):
            found[name] = float(value)
    return found
