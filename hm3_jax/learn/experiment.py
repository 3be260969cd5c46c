"""An experiment: several strategies trained with the same settings."""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hm3_jax.data.store import FeatureStore
from hm3_jax.learn.run_folder import (
    TryResult,
    write_experiment,
    write_test,
)
from hm3_jax.learn.settings import TrainSettings
from hm3_jax.learn.trainer import EpochReport, Trainer
from hm3_jax.nn.strategy import ConvConfig, StrategyConfig, load_strategy

# Themes that a warning names.
_NAMED = 5


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """What to train and where to put it.

    Attributes:
      strategies: in the order they are trained in.
      settings: shared by all of them.
      folder: of the experiment.
      name: of the experiment.
      description: free text.
      tags: free words.
      tries_at_once: tries trained as one program; None for all of them.
    """

    strategies: Sequence[StrategyConfig]
    settings: TrainSettings
    folder: Path
    name: str
    description: str = ""
    tags: Sequence[str] = ()
    tries_at_once: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Listeners:
    """What is called while an experiment runs.

    Attributes:
      strategy: before a strategy is trained.
      epoch: after each of its epochs.
      tested: with the tests of all its tries.
    """

    strategy: Callable[[StrategyConfig], None]
    epoch: Callable[[EpochReport], None]
    tested: Callable[[StrategyConfig, Sequence[TryResult]], None]


def load_strategies(files: Sequence[str], folder: str | None) -> list[StrategyConfig]:
    """Strategies from files, from a folder of files, or both, in published order.

    Args:
      files: strategy JSON files.
      folder: all its `*.json` files are taken; None or empty for no folder.

    Raises:
      ValueError: there is none, or two have the same name.
    """
    paths = [Path(file) for file in files]
    if folder:
        found = sorted(Path(folder).glob("*.json"))
        if not found:
            raise ValueError(f"{folder}: expected strategy files *.json, found none")
        paths += found
    if not paths:
        raise ValueError("give --config_files or --config_files_dir (found neither)")
    strategies = {}
    for path in paths:
        config = load_strategy(path)
        if config.file_stem in strategies:
            raise ValueError(f"{path}: strategy {config.file_stem} is given twice")
        strategies[config.file_stem] = config
    return sorted(strategies.values(), key=_published_order)


def _published_order(config: StrategyConfig) -> tuple[Any, ...]:
    return (
        config.embedding_size,
        not config.flat,
        isinstance(config.museum, ConvConfig),
        config.text.cell == "lstm",
        "images" in config.uses,
        "videos" in config.uses,
        config.file_stem,
    )


def run_experiment(
    experiment: Experiment,
    store: FeatureStore,
    listeners: Listeners,
    *,
    resume: bool = False,
) -> None:
    """Trains and tests every strategy, one after the other.

    Everything that can be known to fail is found before the first is trained.

    Args:
      experiment: what to do.
      store: features to train on.
      listeners: told about the progress.
      resume: go on with what is in the experiment's folder.

    Raises:
      FileExistsError: the folder is there and `resume` is False.
      ValueError: the store or the settings do not serve a strategy.
      NonFiniteLossError: training diverged.
    """
    if experiment.folder.exists() and not resume:
        raise FileExistsError(
            f"{experiment.folder}: expected no experiment there, found one (give "
            "another --experiment_name or --workdir, or go on with --resume)"
        )
    settings = experiment.settings
    folders = {
        config: experiment.folder / config.file_stem for config in experiment.strategies
    }
    for config in experiment.strategies:
        Trainer.check(store, config)
    _check_masking(experiment)
    if settings.use_categories_in_loss:
        _warn_of_untrained_themes(store)
    experiment.folder.mkdir(parents=True, exist_ok=True)
    runs = []
    for config, folder in folders.items():
        listeners.strategy(config)
        results = _run_tries(experiment, store, config, listeners, resume=resume)
        test = store.splits["test"]
        write_test(
            folder,
            results,
            [store.ids[i] for i in test],
            [store.themes[t] for t in store.theme_index[test]],
        )
        runs.append(_run_entry(config, store, results))
        listeners.tested(config, results)
        write_experiment(
            experiment.folder,
            name=experiment.name,
            description=experiment.description,
            tags=experiment.tags,
            settings=settings,
            runs=runs,
        )


def _run_tries(
    experiment: Experiment,
    store: FeatureStore,
    config: StrategyConfig,
    listeners: Listeners,
    *,
    resume: bool,
) -> list[TryResult]:
    """Trains as many tries together as the device's memory allows."""
    settings = experiment.settings
    folder = experiment.folder / config.file_stem
    waiting = list(range(1, settings.number_of_tries + 1))
    at_once = experiment.tries_at_once or len(waiting)
    results: list[TryResult] = []
    while waiting:
        together = waiting[:at_once]
        try:
            trainer = Trainer(store, config, settings, folder, together)
            results += trainer.run(resume=resume, listener=listeners.epoch)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error) or len(together) == 1:
                raise
            at_once, resume = len(together) // 2, True
            warnings.warn(
                f"{config.file_stem}: {len(together)} tries at once do not fit the "
                f"memory; going on with {at_once} at once",
                stacklevel=2,
            )
            continue
        waiting = waiting[len(together) :]
    return results


def _check_masking(experiment: Experiment) -> None:
    masking = experiment.settings.cnn1d_masking
    convolutions = [isinstance(c.museum, ConvConfig) for c in experiment.strategies]
    if masking != "time" and not any(convolutions):
        raise ValueError(
            f"cnn1d_masking {masking} has no effect on strategies without a 1-D CNN: "
            + ", ".join(config.file_stem for config in experiment.strategies)
        )


def _warn_of_untrained_themes(store: FeatureStore) -> None:
    """Says which themes the loss will never see, if museums share themes at all."""
    trained = np.unique(store.theme_index[store.splits["train"]])
    unseen = np.delete(np.array(store.themes), trained).tolist()
    if unseen and len(store.themes) < len(store.theme_index):
        more = f" and {len(unseen) - _NAMED} more" if len(unseen) > _NAMED else ""
        warnings.warn(
            f"{store.path}: no museum of split train has the themes "
            f"{', '.join(unseen[:_NAMED])}{more}, which use_categories_in_loss "
            "will not learn",
            stacklevel=2,
        )


def _run_entry(
    config: StrategyConfig, store: FeatureStore, results: Sequence[TryResult]
) -> dict[str, Any]:
    names = results[0].tested.metrics
    return {
        "base_name": config.file_stem,
        "n_tries": len(results),
        "dataset_name": store.dataset_name,
        "dataset_kind": store.manifest.kind,
        "features": store.feature_facts(),
        "test_metrics_mean": {
            name: float(np.mean([r.tested.metrics[name] for r in results]))
            for name in names
        },
        "test_metrics_std": {
            name: float(np.std([r.tested.metrics[name] for r in results], ddof=1))
            for name in names
        }
        if len(results) > 1
        else None,
    }
