"""Training on the screen: bars on a terminal, plain lines elsewhere."""

import contextlib
import dataclasses
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from hm3_jax.learn.devices import processes
from hm3_jax.learn.saved.run_folder import TryResult
from hm3_jax.learn.training.experiment import Experiment, Listeners
from hm3_jax.learn.training.run_logs import EpochReport
from hm3_jax.nn.strategy import StrategyConfig

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
    if kind == "auto":
        console = Console()
        can = sys.stdout.isatty() and not console.is_dumb_terminal
        kind = "bars" if can else "lines"
    if kind != "bars" or not processes.is_writer():
        yield _lines(wording, of_epochs=kind != "none")
        return
    strategies = {config for e in experiments for config in e.strategies}
    bars = _Bars(wording, len(strategies))
    with bars.live:
        yield Listeners(bars.strategy, bars.epoch, bars.tested)


def _lines(wording: Wording, *, of_epochs: bool) -> Listeners:
    def strategy(config: StrategyConfig, runs: int) -> None:
        if of_epochs:
            print(wording.strategy(config, runs), flush=True)

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


class _Bars:
    """Strategies, the epochs of the one in training, and how it goes, on three rows.

    They stay below all that is printed meanwhile, and are gone at the end.
    """

    def __init__(self, wording: Wording, strategies: int):
        self._wording = wording
        # What is printed may be a path with square brackets, which are no markup.
        self._console = Console(
            file=sys.stdout, force_terminal=True, markup=False, highlight=False
        )
        name = Column(no_wrap=True, overflow="ellipsis", ratio=1)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False, table_column=name),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            expand=True,
        )
        self._all = self._bars.add_task("strategies", total=strategies)
        self._current: TaskID | None = None
        self._epoch = 0
        self._now = Text(no_wrap=True, overflow="ellipsis")
        self.live = Live(
            Group(self._bars, self._now),
            console=self._console,
            transient=True,
            refresh_per_second=4,
            # Where errors go to a file they are to stay in it.
            redirect_stderr=sys.stderr.isatty(),
        )

    def strategy(self, config: StrategyConfig, runs: int) -> None:
        self._print(self._wording.strategy(config, runs))
        if self._current is not None:
            self._bars.remove_task(self._current)
            self._bars.advance(self._all)
        self._current = self._bars.add_task(config.file_stem, total=None)
        self._epoch = 0
        self._now.plain = "compiling"

    def epoch(self, report: EpochReport) -> None:
        assert self._current is not None
        if self._epoch + 1 == report.epoch and report.epoch > 1:
            self._bars.advance(self._current)
        else:
            # Runs that go on, or others of the strategy: their time is counted anew.
            self._bars.reset(self._current, total=report.epochs, completed=report.epoch)
        self._epoch = report.epoch
        if report.runs:
            recall = [metrics["t2s_R@10"] for metrics in report.val_metrics]
            self._now.plain = (
                f"loss {statistics.median(report.train_loss):.4f}"
                f"  val {statistics.median(report.val_loss):.4f}"
                f"  val R@10 {statistics.median(recall):.1f}"
                f"  {report.museums_per_second:,.0f} museums/s"
            )

    def tested(
        self,
        experiment: Experiment,
        config: StrategyConfig,
        results: Sequence[TryResult],
    ) -> None:
        for line in self._wording.test(experiment, config, results):
            self._print(line)

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


def summary_of_test(results: Sequence[TryResult]) -> list[str]:
    """Lines with the means over tries of what matters most, one a direction."""
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
    return lines
