"""What a report knows of runs: their settings, tries and data set."""

import dataclasses
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hm3_jax.files.run_format import LengthFacts


@dataclasses.dataclass(frozen=True, slots=True)
class DataSet:
    """Features that runs were trained and tested on; runs of others do not compare.

    Attributes:
        name: of the data set.
        kind: "real", "synthetic", or "unknown" where no file says.
        checksum: of the feature store's manifest.
    """

    name: str
    kind: str
    checksum: str

    def __str__(self) -> str:
        """Name, kind and the beginning of the checksum."""
        return f"{self.name} ({self.kind} features, {self.checksum[:8]})"


@dataclasses.dataclass(frozen=True, slots=True)
class Try:
    """A finished try.

    Attributes:
        number: from 1.
        epoch: finished epochs of the parameters that were tested.
        metrics: of the test split, published keys; those that are missing were said.
        by_length: of queries of some sentences; None of older runs.
    """

    number: int
    epoch: int
    metrics: Mapping[str, float]
    by_length: LengthFacts | None = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A strategy of an experiment: what one row of a table shows.

    Attributes:
        name: EXPERIMENT/STRATEGY, with folders before it where others have that name.
        folder: where its tries are.
        strategy: file stem of the strategy.
        settings: of the training, published names, as its record has them.
        config: published JSON of the strategy.
        date: on which its experiment was written, YYYY-MM-DD; empty where no file says.
        data: what it was trained and tested on.
        tries: finished ones, in order.
        asked: number of tries that were asked for.
        states: what became of the tries that are not finished, by number.
    """

    name: str
    folder: Path
    strategy: str
    settings: Mapping[str, Any]
    config: Mapping[str, Any]
    date: str
    data: DataSet
    tries: tuple[Try, ...]
    asked: int
    states: Mapping[int, str]

    @property
    def experiment(self) -> str:
        """The name without the strategy."""
        return self.name.rpartition("/")[0]

    @property
    def flat_config(self) -> dict[str, Any]:
        """What the strategy says, by dotted name."""
        return _flat(self.config)

    @property
    def complete(self) -> bool:
        """Whether all tries that were asked for are finished."""
        return len(self.tries) >= self.asked and not self.states

    @property
    def state(self) -> str:
        """What to say about tries that are missing; empty where none is."""
        if self.complete:
            return ""
        said = [f"try {number} {state}" for number, state in self.states.items()]
        return f"{len(self.tries)} of {self.asked} tries" + "".join(
            f"; {text}" for text in said
        )

    def values(self, metric: str) -> list[float] | None:
        """A metric of every finished try; None where a try does not have it."""
        if not self.tries or any(metric not in t.metrics for t in self.tries):
            return None
        return [t.metrics[metric] for t in self.tries]

    def mean(self, metric: str) -> float | None:
        """Mean over the finished tries; None where a try lacks the metric."""
        values = self.values(metric)
        return None if values is None else statistics.fmean(values)

    def deviation(self, metric: str) -> float | None:
        """Standard deviation over tries (n - 1); None of fewer than two."""
        values = self.values(metric)
        if values is None or len(values) < 2:
            return None
        return statistics.stdev(values)

    def __str__(self) -> str:
        """The name."""
        return self.name


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
