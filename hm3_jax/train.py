r"""Trains strategies on a feature store and tests what was saved.

Writes WORKDIR/EXPERIMENT_NAME/experiment.json and, for each strategy, strategy.json,
test_output.json and try_K/{checkpoints/, metrics.jsonl, test_metrics.json}. The
tries of a strategy are trained together as one program.

  python -m hm3_jax.train --flagfile=configs/experiments/stl.cfg \
    --features=STORE --workdir=runs
"""

import statistics
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from hm3_jax import cli
from hm3_jax.data.open_features import open_features
from hm3_jax.learn.experiment import (
    Experiment,
    Listeners,
    load_strategies,
    run_experiments,
)
from hm3_jax.learn.interruption import GracefulStop
from hm3_jax.learn.run_folder import TryResult
from hm3_jax.learn.trainer import EpochReport
from hm3_jax.nn.strategy import StrategyConfig
from hm3_jax.training_flags import (
    GRACE_SECONDS,
    RESUME,
    given_execution,
    given_settings,
)

_FEATURES = flags.DEFINE_string(
    "features", None, "Feature store to train on.", required=True
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder the experiment's folder is made in.", required=True
)
_CONFIG_FILES = flags.DEFINE_list(
    "config_files", [], "Strategy JSON files, separated by commas."
)
_CONFIG_FILES_DIR = flags.DEFINE_string(
    "config_files_dir", None, "Folder whose strategy JSON files are all trained."
)
_EXPERIMENT_NAME = flags.DEFINE_string(
    "experiment_name", "experiment", "Name of the experiment and of its folder."
)
_EXPERIMENT_DESCRIPTION = flags.DEFINE_string(
    "experiment_description", "", "Free text, kept in experiment.json."
)
_TAGS = flags.DEFINE_list("tags", [], "Free words, kept in experiment.json.")


def main() -> None:
    """Reads the flags and runs the experiment."""
    name = _EXPERIMENT_NAME.value
    if name in ("", "..") or Path(name).name != name:
        raise ValueError(f"experiment_name: expected a folder's name, found {name!r}")
    experiment = Experiment(
        strategies=load_strategies(_CONFIG_FILES.value, _CONFIG_FILES_DIR.value),
        settings=given_settings(),
        folder=Path(_WORKDIR.value) / name,
        name=name,
        description=_EXPERIMENT_DESCRIPTION.value,
        tags=_TAGS.value,
    )
    store = open_features(_FEATURES.value)
    print(
        f"{store.dataset_name} ({store.manifest.kind} features): "
        + ", ".join(f"{len(ids)} {split}" for split, ids in store.splits.items())
    )
    with GracefulStop(grace_seconds=GRACE_SECONDS.value) as stop:
        run_experiments(
            [experiment],
            store,
            Listeners(_show_strategy, _show_epoch, _show_test),
            given_execution(),
            resume=RESUME.value,
            stop=stop,
        )
    print(f"written to {experiment.folder}")


def _show_strategy(config: StrategyConfig, runs: int) -> None:
    del runs
    print(f"\n{config.file_stem}", flush=True)


def _show_epoch(report: EpochReport) -> None:
    def spread(values: Sequence[float]) -> str:
        return "/".join(f"{value:.4f}" for value in values)

    recall = [metrics["t2s_R@10"] for metrics in report.val_metrics]
    print(
        f"  epoch {report.epoch:3d}/{report.epochs}"
        f"  loss {spread(report.train_loss)}  val {spread(report.val_loss)}"
        f"  val R@10 {'/'.join(f'{value:.1f}' for value in recall)}"
        f"  {report.museums_per_second:,.0f} museums/s",
        flush=True,
    )


def _show_test(
    experiment: Experiment, config: StrategyConfig, results: Sequence[TryResult]
) -> None:
    del experiment
    print(f"  test of {config.file_stem}, {len(results)} tries, %:")
    for direction, what in (("t2s", "text to museum"), ("s2t", "museum to text")):
        means = {
            name: statistics.fmean(
                r.tested.metrics[f"{direction}_{name}"] for r in results
            )
            for name in ("R@1", "R@5", "R@10", "median_rank", "mAP", "mAP_by_class")
        }
        shown = "  ".join(f"{name} {value:.1f}" for name, value in means.items())
        print(f"    {what}: {shown}", flush=True)


if __name__ == "__main__":
    cli.run(main)
