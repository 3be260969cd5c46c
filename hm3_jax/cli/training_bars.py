"""Training on a terminal: bars that stay below what is printed."""

import statistics
import sys
from collections.abc import Sequence

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

from hm3_jax.cli.training_display import Wording, pace_of
from hm3_jax.learn.saved.run_folder import TryResult
from hm3_jax.learn.training.experiment import Experiment
from hm3_jax.learn.training.run_logs import EpochReport
from hm3_jax.nn.strategy import StrategyConfig


class Bars:
    """Strategies, the epochs of the one in training, and how it goes, on three rows.

    They stay below all that is printed meanwhile, and are gone at the end.
    """

    def __init__(self, wording: Wording, strategies: int):
        """Draws nothing before `live` is entered.

        Args:
            wording: of the entry.
            strategies: how many there are.
        """
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
        """A strategy begins, see `Listeners`."""
        self._print(self._wording.strategy(config, runs))
        if self._current is not None:
            self._bars.remove_task(self._current)
            self._bars.advance(self._all)
        self._current = self._bars.add_task(config.file_stem, total=None)
        self._epoch = 0
        self._now.plain = "compiling"

    def epoch(self, report: EpochReport) -> None:
        """An epoch has ended, see `Listeners`."""
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
                f"  {pace_of(report)}"
            )

    def tested(
        self,
        experiment: Experiment,
        config: StrategyConfig,
        results: Sequence[TryResult],
    ) -> None:
        """Runs were tested, see `Listeners`."""
        for line in self._wording.test(experiment, config, results):
            self._print(line)

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)
