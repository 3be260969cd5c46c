r"""Trains strategies on a feature store and tests what was saved.

Writes WORKDIR/EXPERIMENT_NAME/experiment.json and, for each strategy, strategy.json,
test_output.json and try_K/{checkpoints/, metrics.jsonl, run.json, test_metrics.json}.
The tries of a strategy are trained together as one program.

  python -m hm3_jax.train --flagfile=configs/experiments/stl.cfg \
    --features=STORE --workdir=runs
"""

from collections.abc import Sequence

from absl import flags

from hm3_jax import cli, joining, training_flags
from hm3_jax.learn.experiment import Experiment, Listeners
from hm3_jax.learn.run_folder import TryResult
from hm3_jax.learn.trainer import EpochReport
from hm3_jax.nn.strategy import StrategyConfig
from hm3_jax.training_session import carry_out, summary_of_test

flags.adopt_module_key_flags(training_flags)
flags.adopt_module_key_flags(joining)


@joining.joined
def main() -> int:
    """Reads the flags and runs the experiment."""
    experiment = training_flags.given_experiment(flags.FLAGS)
    listeners = Listeners(_show_strategy, _show_epoch, _show_test)
    code = carry_out([experiment], listeners)
    print(f"written to {experiment.folder}")
    return code


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
    for line in summary_of_test(results):
        print(f"    {line}", flush=True)


if __name__ == "__main__":
    cli.run(main)
