"""The published results, and which runs repeat them."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hm3_jax.files.json_files import read_json
from hm3_jax.reporting.records import DataSet, Run

_FILE = Path(__file__).with_name("published.json")


@dataclasses.dataclass(frozen=True, slots=True)
class PublishedExperiment:
    """One published experiment: some settings, all strategies.

    Attributes:
        data_set: "genMuseums" or "Museums3k".
        title: what sets it apart.
        videos: whether strategies see videos beside views.
        file: of its flags, in configs/experiments.
        settings: all settings of the training.
        metrics: published keys.
        results: a number for each metric, by the paper's name of the strategy.
    """

    data_set: str
    title: str
    videos: bool
    file: str
    settings: Mapping[str, Any]
    metrics: tuple[str, ...]
    results: Mapping[str, tuple[float, ...]]

    def value(self, strategy: str, metric: str) -> float | None:
        """A published number; None where there is none."""
        if strategy not in self.results or metric not in self.metrics:
            return None
        return self.results[strategy][self.metrics.index(metric)]


@dataclasses.dataclass(frozen=True, slots=True)
class PublishedTable:
    """A published table.

    Attributes:
        name: what --layout calls it.
        title: above it.
        heads: of the groups of columns.
        experiments: one a group of columns.
    """

    name: str
    title: str
    heads: tuple[str, ...]
    experiments: tuple[PublishedExperiment, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Published:
    """What `published.json` holds.

    Attributes:
        source: of the numbers.
        labels: the paper's names by file stems without "_video".
        strategies: the published strategies' JSON, by file stem.
        defaults: settings of the training where nothing is said.
        layouts: by name.
        data_sets: names that data sets go by and number of test museums, by name.
    """

    source: str
    labels: Mapping[str, str]
    strategies: Mapping[str, Mapping[str, Any]]
    defaults: Mapping[str, Any]
    layouts: Mapping[str, PublishedTable]
    data_sets: Mapping[str, Mapping[str, Any]]

    def label(self, run: Run) -> str | None:
        """The paper's name of a run's strategy.

        None where the run's is not what the paper calls so, in name and in content.
        """
        if run.config != self.strategies.get(run.strategy):
            return None
        return self.labels[run.strategy.removesuffix("_video")]

    def is_of(self, data: DataSet, data_set: str) -> bool:
        """Whether runs were made on real features of a published data set."""
        return data.kind == "real" and data.name in self.data_sets[data_set]["names"]

    def settings_of(self, run: Run) -> dict[str, Any]:
        """All settings of a run.

        What an earlier version did not know it did as is the default now.
        """
        return {**self.defaults, **run.settings}

    def departures(self, run: Run, experiment: PublishedExperiment) -> list[str]:
        """Settings that are not the published ones, "lr 0.001 instead of 0.0005"."""
        settings = self.settings_of(run)
        found = [
            f"{name} {said(settings[name])} instead of {said(value)}"
            for name, value in experiment.settings.items()
            if settings[name] != value
        ]
        found += [
            f"{name} {said(value)}"
            for name, value in settings.items()
            if name not in experiment.settings
        ]
        return found

    def repeats(self, run: Run, experiment: PublishedExperiment) -> bool:
        """Whether a run has strategy, inputs and all settings of an experiment."""
        return (
            self.label(run) is not None
            and run.strategy.endswith("_video") == experiment.videos
            and not self.departures(run, experiment)
        )

    def is_published(self, run: Run) -> bool:
        """Whether a run repeats any published experiment."""
        return any(
            self.repeats(run, experiment)
            for layout in self.layouts.values()
            for experiment in layout.experiments
        )


def said(value: Any) -> str:
    """A setting's value for people.

    >>> said(None), said(0.0005), said(True)
    ('none', '0.0005', 'true')
    """
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


@functools.cache
def load_published() -> Published:
    """Reads the published results that come with the package."""
    content = read_json(_FILE)
    experiments = {
        name: PublishedExperiment(
            data_set=entry["data_set"],
            title=entry["title"],
            videos=entry["videos"],
            file=entry["file"],
            settings={**content["defaults"], **entry["settings"]},
            metrics=tuple(entry["metrics"]),
            results={k: tuple(v) for k, v in entry["results"].items()},
        )
        for name, entry in content["experiments"].items()
    }
    layouts = {
        name: PublishedTable(
            name=name,
            title=entry["title"],
            heads=tuple(
                entry.get("heads")
                or [experiments[key].title for key in entry["experiments"]]
            ),
            experiments=tuple(experiments[key] for key in entry["experiments"]),
        )
        for name, entry in content["layouts"].items()
    }
    return Published(
        source=content["source"],
        labels=content["labels"],
        strategies=content["strategies"],
        defaults=content["defaults"],
        layouts=layouts,
        data_sets=content["data_sets"],
    )
