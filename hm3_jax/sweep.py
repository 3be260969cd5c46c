r"""Trains many settings of each strategy as one program, and tests every one.

Give the settings to vary in one of three ways:

  --grid="loss_margin=0.2,0.25;lr=0.001,0.0005"   every combination
  --settings=FILE    a JSON list of objects: settings, and optionally experiment_name
  --experiments=A.cfg,B.cfg    flag files as for train, one per experiment

All other settings come from the flags, as for train. The tries of all settings of a
strategy train together; the results are the same as if each were trained alone, up to
the last bits. Each point gets an experiment's folder in WORKDIR, like those of train. A
run that diverges is set aside and named at the end.

  python -m hm3_jax.sweep --features=STORE --workdir=runs --epochs=25 \
    --config_files_dir=configs/strategies/pov_and_video --use_categories_in_loss \
    --loss_within_category_margin=0.15 --grid="second_loss_component_weight=0,0.05,0.5"
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from hm3_jax.cli import distributed, frame, path_flags, training_flags
from hm3_jax.cli.sweep_points import from_files, from_grid, from_list
from hm3_jax.cli.training_display import Wording, pace_of, summary_of_test
from hm3_jax.files.words import counted
from hm3_jax.nn.strategy import StrategyConfig

if TYPE_CHECKING:
    from hm3_jax.learn.saved.run_folder import TryResult
    from hm3_jax.learn.training.experiment import Experiment
    from hm3_jax.learn.training.run_logs import EpochReport

flags.adopt_module_key_flags(training_flags)
flags.adopt_module_key_flags(distributed)

_GRID = flags.DEFINE_string(
    "grid",
    None,
    "Settings and their values: NAME=A,B;NAME=C,D. The value none unsets a setting.",
)
_SETTINGS = path_flags.define_path(
    "settings", None, "JSON file with a list of objects of settings."
)
_EXPERIMENTS = path_flags.define_paths(
    "experiments",
    None,
    "Flag files, one per experiment. Flags on the command line override theirs.",
)


@distributed.joined
def main() -> int:
    """Reads the flags and runs the sweep."""
    experiments = _experiments()
    order = training_flags.given_order(keep_going=True)
    shown = training_flags.given_display(Wording(_strategy, _epoch, _test))
    from hm3_jax.app.training import carry_out

    code = carry_out(experiments, order, shown)
    print(f"written to {experiments[0].folder.parent}: {len(experiments)} experiments")
    return code


def _experiments() -> list[Experiment]:
    ways = {
        flag.name: flag.value
        for flag in (_GRID, _SETTINGS, _EXPERIMENTS)
        if flag.value is not None
    }
    if len(ways) != 1:
        raise ValueError(
            "expected one of --grid, --settings and --experiments, found "
            + (" and ".join(f"--{name}" for name in ways) or "none")
        )
    if _GRID.value is not None:
        return from_grid(flags.FLAGS, _GRID.value)
    if _SETTINGS.value is not None:
        return from_list(flags.FLAGS, _SETTINGS.value)
    return from_files(flags.FLAGS, _EXPERIMENTS.value or [])


def _strategy(config: StrategyConfig, runs: int) -> str:
    return f"\n{config.file_stem}: {runs} runs"


def _epoch(report: EpochReport) -> str:
    if not report.runs:
        return ""

    def spread(values: Sequence[float], digits: int) -> str:
        low, middle, high = min(values), statistics.median(values), max(values)
        return f"{low:.{digits}f} to {high:.{digits}f} (median {middle:.{digits}f})"

    recall = [metrics["t2s_R@10"] for metrics in report.val_metrics]
    return (
        f"  epoch {report.epoch:3d}/{report.epochs}  {counted(len(report.runs), 'run')}"
        f"  loss {spread(report.train_loss, 4)}  val R@10 {spread(recall, 1)}"
        f"  {pace_of(report)}"
    )


def _test(
    experiment: Experiment, config: StrategyConfig, results: Sequence[TryResult]
) -> list[str]:
    del config
    if not results:
        return []
    return [f"  {experiment.name}: {summary_of_test(results)[0]}"]


if __name__ == "__main__":
    frame.run(main)
