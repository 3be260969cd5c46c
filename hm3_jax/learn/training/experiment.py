"""Experiments: several strategies trained with the same settings."""

import contextlib
import dataclasses
import itertools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hm3_jax.data.store import FeatureStore
from hm3_jax.data.store_content import check_unchanged
from hm3_jax.files.run_format import LengthFacts, read_experiment, try_folder
from hm3_jax.learn.batches.spans import QUERY_SEED
from hm3_jax.learn.devices import processes
from hm3_jax.learn.evaluation.task import Task, check_store
from hm3_jax.learn.saved.run import Run, programs
from hm3_jax.learn.saved.run_folder import (
    TryResult,
    write_experiment,
    write_lengths,
    write_test,
)
from hm3_jax.learn.saved.run_lists import listed
from hm3_jax.learn.saved.run_lock import run_lock
from hm3_jax.learn.settings import Execution, TrainSettings
from hm3_jax.learn.training.graceful_stop import GracefulStop
from hm3_jax.learn.training.run_logs import EpochReport
from hm3_jax.learn.training.run_program import run_program
from hm3_jax.nn.precision import multiplying
from hm3_jax.nn.strategy import StrategyConfig
from hm3_jax.nn.strategy_choice import published_order
from hm3_jax.tracking.following import Follower, following
from hm3_jax.tracking.speed_file import SpeedFile
from hm3_jax.tracking.tracker import Tracker

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
    """

    strategies: Sequence[StrategyConfig]
    settings: TrainSettings
    folder: Path
    name: str
    description: str = ""
    tags: Sequence[str] = ()


def _nobody(*_: object) -> None:
    """Is told, and does nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Listeners:
    """What is called while experiments run, in the process that writes.

    Attributes:
        strategy: before a strategy is trained, with the number of its runs.
        epoch: after each epoch of runs that train together.
        tested: with the tests of all tries of a strategy in an experiment.
    """

    strategy: Callable[[StrategyConfig, int], None] = _nobody
    epoch: Callable[[EpochReport], None] = _nobody
    tested: Callable[[Experiment, StrategyConfig, Sequence[TryResult]], None] = _nobody


def run_experiments(
    experiments: Sequence[Experiment],
    store: FeatureStore,
    listeners: Listeners = Listeners(),
    execution: Execution | None = None,
    *,
    resume: bool = False,
    stop: GracefulStop | None = None,
    trackers: Sequence[Tracker] = (),
) -> list[str]:
    """Trains and tests every strategy of every experiment.

    The runs of a strategy, of all experiments and tries, train together as far as one
    program can hold them. Whatever can be checked is checked before the first is
    trained.

    Args:
        experiments: what to do, each into a folder of its own.
        store: features to train on.
        listeners: called with the progress.
        execution: where and how runs are computed; by default on all devices, all
            together if memory allows.
        resume: continue what is in the experiments' folders.
        stop: asked after every epoch.
        trackers: informed of every run, in addition to the files in its folder. One
            that fails is switched off with a warning.

    Returns:
        Names of the runs that failed (`execution.keep_going`), empty if none did.

    Raises:
        FileExistsError: a folder is there and `resume` is False, or another process is
            at work in it.
        ValueError: the store or the settings do not serve a strategy, or what is in a
            folder is of something else or was edited.
        NonFiniteLossError: training diverged.
        StoppedError: `stop` was requested; everything is saved.
    """
    execution = execution or Execution()
    for experiment in experiments:
        if experiment.folder.exists() and not resume:
            raise FileExistsError(
                f"{experiment.folder}: expected no experiment there, found one (give "
                "another --experiment_name or --workdir, or continue with --resume)"
            )
        read_experiment(experiment.folder)
        for config in experiment.strategies:
            check_store(store, config)
        _check_masking(experiment)
    if any(experiment.settings.use_categories_in_loss for experiment in experiments):
        _warn_of_untrained_themes(store)
    processes.wait_for_all("every process has looked for experiments")
    failed = []
    with contextlib.ExitStack() as held:
        if processes.is_writer():
            for experiment in experiments:
                held.enter_context(run_lock(experiment.folder))
        told = [SpeedFile(), *trackers] if processes.is_writer() else []
        follower = held.enter_context(following(told))
        for config, of_strategy in _by_strategy(experiments).items():
            results = _run_strategy(
                of_strategy,
                store,
                config,
                listeners,
                follower,
                execution,
                resume,
                stop,
            )
            for experiment, found in zip(of_strategy, results, strict=True):
                failed += [run.name for run, result in found if result is None]
                if processes.is_writer():
                    tested = [result for _, result in found if result is not None]
                    tries = [run.folder for run, _ in found]
                    with listed(experiment.folder / config.file_stem, tries):
                        _write(experiment, store, config, tested)
                    listeners.tested(experiment, config, tested)
    return failed


def _by_strategy(
    experiments: Sequence[Experiment],
) -> dict[StrategyConfig, list[Experiment]]:
    """Strategies in published order with the experiments that have them."""
    every = {config for experiment in experiments for config in experiment.strategies}
    return {
        config: [e for e in experiments if config in e.strategies]
        for config in sorted(every, key=published_order)
    }


Outcome = list[tuple[Run, TryResult | None]]


def _run_strategy(
    experiments: Sequence[Experiment],
    store: FeatureStore,
    config: StrategyConfig,
    listeners: Listeners,
    follower: Follower,
    execution: Execution,
    resume: bool,
    stop: GracefulStop | None,
) -> list[Outcome]:
    """Trains the runs of a strategy; their tests by experiment."""
    runs = [
        [
            Run(
                experiment.name,
                experiment.settings,
                attempt,
                try_folder(experiment.folder / config.file_stem, attempt),
            )
            for attempt in range(1, experiment.settings.number_of_tries + 1)
        ]
        for experiment in experiments
    ]
    if processes.is_writer():
        listeners.strategy(config, sum(map(len, runs)))
    results: dict[Run, TryResult | None] = {}
    for program in programs(itertools.chain.from_iterable(runs)):
        trained = config.masked(program[0].settings.cnn1d_masking)
        trained = trained.trained_on(len(store.themes), len(store.splits["train"]))
        task = Task(store, trained, execution.data_placement)
        with multiplying(program[0].settings.matmul_precision):
            results |= run_program(
                task, program, listeners.epoch, follower, execution, resume, stop
            )
    return [[(run, results[run]) for run in of_experiment] for of_experiment in runs]


def _write(
    experiment: Experiment,
    store: FeatureStore,
    config: StrategyConfig,
    tested: Sequence[TryResult],
) -> None:
    check_unchanged(store)
    test = store.splits["test"]
    about = LengthFacts(
        model=config.file_stem,
        dataset_name=store.dataset_name,
        dataset_kind=store.manifest.kind,
        features_checksum=store.manifest.checksum,
        split="test",
        query_seed=QUERY_SEED,
        lengths={},
    )
    write_lengths(experiment.folder / config.file_stem, tested, about)
    write_test(
        experiment.folder / config.file_stem,
        tested,
        [store.ids[i] for i in test],
        np.asarray(store.theme_index[test]),
    )
    write_experiment(
        experiment.folder,
        name=experiment.name,
        description=experiment.description,
        tags=experiment.tags,
        settings=experiment.settings,
        run=_run_entry(config, store, tested),
    )


def _check_masking(experiment: Experiment) -> None:
    masking = experiment.settings.cnn1d_masking
    if all(c.masked(masking).cnn1d_masking != masking for c in experiment.strategies):
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
    names = results[0].tested.metrics if results else ()
    return {
        "base_name": config.file_stem,
        "n_tries": len(results),
        "dataset_name": store.dataset_name,
        "dataset_kind": store.manifest.kind,
        "themes": list(store.themes),
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
