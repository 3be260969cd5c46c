r"""Trains strategies on a feature store and tests the saved models.

Writes WORKDIR/EXPERIMENT_NAME/experiment.json and, for each strategy, strategy.json,
test_output.json, test_output.npz (its arrays) and try_K/{checkpoints/, metrics.jsonl,
speed.jsonl, run.json, test_metrics.json}; --log adds TensorBoard's files or Weights &
Biases. The tries of a strategy are trained together as one program.

  python -m hm3_jax.train --flagfile=configs/experiments/stl.cfg \
    --features=STORE --workdir=runs
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from hm3_jax.cli import distributed, frame, training_flags
from hm3_jax.cli.training_display import Wording, pace_of, summary_of_test
from hm3_jax.files.words import counted
from hm3_jax.nn.strategy import StrategyConfig

if TYPE_CHECKING:
    from hm3_jax.learn.saved.run_folder import TryResult
    from hm3_jax.learn.training.experiment import Experiment
    from hm3_jax.learn.training.run_logs import EpochReport

flags.adopt_module_key_flags(training_flags)
flags.adopt_module_key_flags(distributed)


@distributed.joined
def main() -> int:
    """Reads the flags and runs the experiment."""
    experiment = training_flags.given_experiment(flags.FLAGS)
    order = training_flags.given_order()
    shown = training_flags.given_display(Wording(_strategy, _epoch, _test))
    from hm3_jax.app.training import carry_out

    code = carry_out([experiment], order, shown)
    print(f"written to {experiment.folder}")
    return code


def _strategy(config: StrategyConfig, runs: int) -> str:
    del runs
    return f"\n{config.file_stem}"


def _epoch(report: EpochReport) -> str:
    def spread(values: Sequence[float]) -> str:
        return "/".join(f"{value:.4f}" for value in values)

    recall = [metrics["t2s_R@10"] for metrics in report.val_metrics]
    return (
        f"  epoch {report.epoch:3d}/{report.epochs}"
        f"  loss {spread(report.train_loss)}  val {spread(report.val_loss)}"
        f"  val R@10 {'/'.join(f'{value:.1f}' for value in recall)}"
        f"  {pace_of(report)}"
    )


def _test(
    experiment: Experiment, config: StrategyConfig, results: Sequence[TryResult]
) -> list[str]:
    del experiment
    first = f"  test of {config.file_stem}, {counted(len(results), 'try')}, %:"
    return [first, *(f"    {line}" for line in summary_of_test(results))]


if __name__ == "__main__":
    frame.run(main)
