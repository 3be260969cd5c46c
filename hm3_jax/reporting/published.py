"""The published results, and which runs repeat them."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hm3_jax.files.json_files import read_json
from hm3_jax.reporting.records import DataSet, Run

_FILE = Path(__file__).with_name("published.json")
# Settings that make the loss another one, with what they are where nothing is said.
_OTHER_LOSSES: dict[str, Any] = {
    "second_loss_component_weight_decay_factor": None,
    "new_positive_samples": None,
    "filter_out_hard_negatives": False,
}


@dataclasses.dataclass(frozen=True, slots=True)
class PublishedExperiment:
    """One published experiment: some settings, all strategies.

    Attributes:
      data_set: "genMuseums" or "Museums3k".
      title: what sets it apart.
      videos: whether strategies see videos beside views.
      loss: settings of the loss.
      metrics: published keys.
      results: a number for each metric, by the paper's name of the strategy.
    """

    data_set: str
    title: str
    videos: bool
    loss: Mapping[str, Any]
    metrics: tuple[str, ...]
    results: Mapping[str, tuple[float, ...]]

    def value(self, strategy: str, metric: str) -> float | None:
        """A published number; None where there is none."""
        if strategy not in self.results or metric not in self.metrics:
            return None
        return self.results[strategy][self.metrics.index(metric)]


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
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
      strategies: the paper's names by file stems without "_video".
      layouts: by name.
      data_sets: names that data sets go by and number of test museums, by name.
      training: settings beside the loss, by data set.
    """

    source: str
    strategies: Mapping[str, str]
    layouts: Mapping[str, Layout]
    data_sets: Mapping[str, Mapping[str, Any]]
    training: Mapping[str, Mapping[str, Any]]

    def label(self, run: Run) -> str | None:
        """The paper's name of a run's strategy; None if it has none."""
        return self.strategies.get(run.strategy.removesuffix("_video"))

    def is_of(self, data: DataSet, data_set: str) -> bool:
        """Whether runs were made on real features of a published data set."""
        return data.kind == "real" and data.name in self.data_sets[data_set]["names"]

    def repeats(self, run: Run, experiment: PublishedExperiment) -> bool:
        """Whether a run has strategy, inputs and loss of a published experiment."""
        videos = run.strategy.endswith("_video")
        if self.label(run) is None or videos != experiment.videos:
            return False
        return _loss(run.settings) == _loss(experiment.loss)

    def departures(self, run: Run, experiment: PublishedExperiment) -> list[str]:
        """Settings beside the loss that are not the published ones."""
        return [
            f"{name} {run.settings.get(name)} instead of {value}"
            for name, value in self.training[experiment.data_set].items()
            if run.settings.get(name) != value
        ]


def _loss(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the loss, in one form for settings that mean the same."""
    loss = {
        "loss_margin": settings.get("loss_margin", 0.25),
        "themes": bool(settings.get("use_categories_in_loss")),
    }
    loss |= {name: settings.get(name, value) for name, value in _OTHER_LOSSES.items()}
    margin = settings.get("loss_within_category_margin")
    if margin is not None:
        weight = settings.get("second_loss_component_weight")
        weight = 0.5 if weight is None else weight
        # At weight 0 the second component, and so its margin, is gone.
        if weight:
            loss |= {"within": margin, "weight": weight}
    return loss


@functools.cache
def load_published() -> Published:
    """Reads the published results that come with the package."""
    content = read_json(_FILE)
    experiments = {
        name: PublishedExperiment(
            data_set=entry["data_set"],
            title=entry["title"],
            videos=entry["videos"],
            loss=entry["loss"],
            metrics=tuple(entry["metrics"]),
            results={k: tuple(v) for k, v in entry["results"].items()},
        )
        for name, entry in content["experiments"].items()
    }
    layouts = {
        name: Layout(
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
        strategies=content["strategies"],
        layouts=layouts,
        data_sets=content["data_sets"],
        training=content["training"],
    )
