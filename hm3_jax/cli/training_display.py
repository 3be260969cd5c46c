"""Training on the screen: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from hm3_jax.nn.strategy import StrategyConfig
from hm3_jax.objective.sample_size import small_split_notes

if TYPE_CHECKING:
    from hm3_jax.learn.saved.run_folder import TryResult
    from hm3_jax.learn.training.experiment import Experiment, Listeners
    from hm3_jax.learn.training.run_logs import EpochReport

KINDS = ("auto", "bars", "lines", "none")
"""Values of --progress."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wording:
    """What an entry says; every line without its end.

    Attributes:
        strategy: before a strategy is trained, with the number of its runs.
        epoch: after an epoch; empty for nothing.
        test: lines, once the runs of an experiment were tested.
    """

    strategy: Callable[[StrategyConfig, int], str]
    epoch: Callable[[EpochReport], str]
    test: Callable[[Experiment, StrategyConfig, Sequence[TryResult]], Sequence[str]]


@contextlib.contextmanager
def display(
    kind: str, wording: Wording, experiments: Sequence[Experiment]
) -> Iterator[Listeners]:
    """Shows the progress of experiments while the context lasts.

    Args:
        kind: one of `KINDS`; auto is bars on a terminal and lines elsewhere.
        wording: of the entry.
        experiments: that are to be trained.
    """
    from hm3_jax.learn.devices import processes
    from hm3_jax.learn.training.experiment import Listeners

    if kind == "auto":
        from rich.console import Console

        console = Console()
        can = sys.stdout.isatty() and not console.is_dumb_terminal
        kind = "bars" if can else "lines"
    if kind != "bars" or not processes.is_writer():
        yield _lines(wording, of_epochs=kind != "none")
        return
    strategies = {config for e in experiments for config in e.strategies}
    from hm3_jax.cli.training_bars import Bars

    bars = Bars(wording, len(strategies))
    with bars.live:
        yield Listeners(bars.strategy, bars.epoch, bars.tested)


def _lines(wording: Wording, *, of_epochs: bool) -> Listeners:
    from hm3_jax.learn.training.experiment import Listeners

    def strategy(config: StrategyConfig, runs: int) -> None:
        if of_epochs:
            print(f"{wording.strategy(config, runs)}\n  compiling", flush=True)

    def epoch(report: EpochReport) -> None:
        line = wording.epoch(report)
        if of_epochs and line:
            print(line, flush=True)

    def tested(
        experiment: Experiment, config: StrategyConfig, results: Sequence[TryResult]
    ) -> None:
        for line in wording.test(experiment, config, results):
            print(line, flush=True)

    return Listeners(strategy, epoch, tested)


def pace_of(report: EpochReport) -> str:
    """The speed of an epoch, and the time of compilation before it, if any."""
    pace = f"{report.museums_per_second:,.0f} museums/s"
    if not report.compile_seconds:
        return pace
    return f"{pace}, after {report.compile_seconds:.1f} s of compiling"


def summary_of_test(results: Sequence[TryResult]) -> list[str]:
    """Lines with the means over tries of what matters most, one per direction.

    And notes, where few museums were tested.
    """
    lines = []
    for direction, what in (("t2s", "text to museum"), ("s2t", "museum to text")):
        means = {
            name: statistics.fmean(
                r.tested.metrics[f"{direction}_{name}"] for r in results
            )
            for name in ("R@1", "R@5", "R@10", "median_rank", "mAP", "mAP_by_class")
        }
        shown = "  ".join(f"{name} {value:.1f}" for name, value in means.items())
        lines.append(f"{what}: {shown}")
    recalls = {
        name: statistics.fmean(r.tested.metrics[name] for r in results)
        for name in results[0].tested.metrics
        if name.startswith("t2s_R@")
    }
    museums = len(results[0].tested.museums)
    lines += [f"note: {note}" for note in small_split_notes("test", museums, recalls)]
    return lines
