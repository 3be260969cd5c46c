r"""Trains strategies on a feature store and tests what was saved.

Writes WORKDIR/EXPERIMENT_NAME/experiment.json and, for each strategy, strategy.json,
test_output.json and try_K/{checkpoints/, metrics.jsonl, test_metrics.json}. The
tries of a strategy are trained together as one program.

  python -m hm3_jax.train --flagfile=configs/experiments/stl.cfg \
    --features=STORE --workdir=runs
"""

import dataclasses
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
    run_experiment,
)
from hm3_jax.learn.run_folder import TryResult
from hm3_jax.learn.settings import BEST_STRATEGIES, TrainSettings
from hm3_jax.learn.trainer import EpochReport
from hm3_jax.nn.strategy import StrategyConfig

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
_RESUME = flags.DEFINE_bool(
    "resume", False, "Go on with the experiment that is in the folder."
)
_TRIES_AT_ONCE = flags.DEFINE_integer(
    "tries_at_once",
    None,
    "Tries trained as one program; all of them unless memory forbids.",
    lower_bound=1,
)

_DEFAULTS = TrainSettings()
# The flags of TrainSettings, which has their defaults and checks.
_SETTINGS = {
    "seed": flags.DEFINE_integer("seed", _DEFAULTS.seed, "Seed of all randomness."),
    "batch_size": flags.DEFINE_integer(
        "batch_size", _DEFAULTS.batch_size, "Museums of a batch."
    ),
    "epochs": flags.DEFINE_integer("epochs", _DEFAULTS.epochs, "Epochs to train."),
    "lr": flags.DEFINE_float("lr", _DEFAULTS.lr, "Learning rate of Adam."),
    "scheduler_step_size": flags.DEFINE_integer(
        "scheduler_step_size",
        _DEFAULTS.scheduler_step_size,
        "Epochs after which the learning rate is multiplied by --scheduler_gamma.",
    ),
    "scheduler_gamma": flags.DEFINE_float(
        "scheduler_gamma", _DEFAULTS.scheduler_gamma, "See --scheduler_step_size."
    ),
    "number_of_tries": flags.DEFINE_integer(
        "number_of_tries",
        _DEFAULTS.number_of_tries,
        "Repetitions with other random streams of the same seed.",
    ),
    "save_strategy": flags.DEFINE_enum(
        "save_strategy",
        _DEFAULTS.save_strategy,
        ["last", "best"],
        "Which epoch is kept and tested; best needs --best_strategy.",
    ),
    "best_strategy": flags.DEFINE_enum(
        "best_strategy",
        _DEFAULTS.best_strategy,
        list(BEST_STRATEGIES),
        "Metric on val that says which epoch is best.",
    ),
    "loss_margin": flags.DEFINE_float(
        "loss_margin", _DEFAULTS.loss_margin, "Margin of the triplet loss, in cosine."
    ),
    "use_categories_in_loss": flags.DEFINE_bool(
        "use_categories_in_loss",
        _DEFAULTS.use_categories_in_loss,
        "Theme-aware loss: negatives are museums of other themes.",
    ),
    "loss_within_category_margin": flags.DEFINE_float(
        "loss_within_category_margin",
        _DEFAULTS.loss_within_category_margin,
        "Margin of the second component, between museums of one theme.",
    ),
    "second_loss_component_weight": flags.DEFINE_float(
        "second_loss_component_weight",
        _DEFAULTS.second_loss_component_weight,
        "Weight of the second component (0.5 where there is one).",
    ),
    "second_loss_component_weight_decay_factor": flags.DEFINE_float(
        "second_loss_component_weight_decay_factor",
        _DEFAULTS.second_loss_component_weight_decay_factor,
        "After each epoch the second weight is multiplied by this, up to 1.",
    ),
    "new_positive_samples": flags.DEFINE_integer(
        "new_positive_samples",
        _DEFAULTS.new_positive_samples,
        "Museums of the anchor's theme drawn as positives of the second component.",
    ),
    "allow_sampling_replacement_of_new_positives": flags.DEFINE_bool(
        "allow_sampling_replacement_of_new_positives",
        _DEFAULTS.allow_sampling_replacement_of_new_positives,
        "Draw new positives with replacement.",
    ),
    "filter_out_hard_negatives": flags.DEFINE_bool(
        "filter_out_hard_negatives",
        _DEFAULTS.filter_out_hard_negatives,
        "Keep semi-hard negatives only.",
    ),
    "loss_patience": flags.DEFINE_integer(
        "loss_patience",
        _DEFAULTS.loss_patience,
        "Epochs without a lower val loss after which a try ends.",
    ),
    "loss_delta": flags.DEFINE_float(
        "loss_delta", _DEFAULTS.loss_delta, "How much lower counts for it (0)."
    ),
    "cnn1d_masking": flags.DEFINE_enum(
        "cnn1d_masking",
        _DEFAULTS.cnn1d_masking,
        ["time", "channels"],
        "What the 1-D CNN masks; channels is the published release's way, for "
        "comparison with its checkpoints.",
    ),
}


def main() -> None:
    """Reads the flags and runs the experiment."""
    settings = TrainSettings(
        **{
            field.name: _SETTINGS[field.name].value
            for field in dataclasses.fields(TrainSettings)
        }
    )
    name = _EXPERIMENT_NAME.value
    if name in ("", "..") or Path(name).name != name:
        raise ValueError(f"experiment_name: expected a folder's name, found {name!r}")
    experiment = Experiment(
        strategies=load_strategies(_CONFIG_FILES.value, _CONFIG_FILES_DIR.value),
        settings=settings,
        folder=Path(_WORKDIR.value) / name,
        name=name,
        description=_EXPERIMENT_DESCRIPTION.value,
        tags=_TAGS.value,
        tries_at_once=_TRIES_AT_ONCE.value,
    )
    store = open_features(_FEATURES.value)
    print(
        f"{store.dataset_name} ({store.manifest.kind} features): "
        + ", ".join(f"{len(ids)} {split}" for split, ids in store.splits.items())
    )
    listeners = Listeners(_show_strategy, _show_epoch, _show_test)
    run_experiment(experiment, store, listeners, resume=_RESUME.value)
    print(f"written to {experiment.folder}")


def _show_strategy(config: StrategyConfig) -> None:
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


def _show_test(config: StrategyConfig, results: Sequence[TryResult]) -> None:
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
