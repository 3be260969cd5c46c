"""What the runs of a program write of every epoch, and tell those that follow them."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hm3_jax.learn.batches.plan import BatchThemes
from hm3_jax.learn.evaluation.task import Task
from hm3_jax.learn.saved.run import Run, RunRecord
from hm3_jax.learn.saved.run_folder import MetricsLog, TryResult, write_strategy
from hm3_jax.tracking.following import Follower
from hm3_jax.tracking.tracker import Ending, TrackedEpoch, TrackedRun


@dataclasses.dataclass(frozen=True, slots=True)
class EpochReport:
    """What is shown of an epoch while training.

    Attributes:
        epoch: number of finished epochs.
        epochs: of the whole run, the longest of them.
        runs: names of those that took part.
        train_loss: mean over steps, by run.
        val_loss: by run.
        val_metrics: published keys, by run.
        museums_per_second: museums of all runs trained on, by second of training.
        compile_seconds: spent on compiling before, which do not count as training; 0
            where there was nothing to compile.
    """

    epoch: int
    epochs: int
    runs: Sequence[str]
    train_loss: Sequence[float]
    val_loss: Sequence[float]
    val_metrics: Sequence[dict[str, float]]
    museums_per_second: float
    compile_seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class RunEpoch:
    """Results of one epoch of one run.

    Attributes:
        losses: of the training steps.
        gradient_norms: of the training steps.
        themes: in the batches.
        val_loss: after the epoch.
        train: metrics of the training split after the epoch.
        val: metrics of the val split after the epoch.
    """

    losses: np.ndarray
    gradient_norms: np.ndarray
    themes: BatchThemes
    val_loss: float
    train: Mapping[str, float]
    val: Mapping[str, float]

    @property
    def train_loss(self) -> float:
        """Mean over the steps."""
        return float(self.losses.mean(dtype=np.float64))

    def line(self, run: Run, epoch: int) -> dict[str, Any]:
        """What `metrics.jsonl` has of it: nothing that depends on time.

        Args:
            run: whose epoch it is.
            epoch: from 0.
        """
        settings = run.settings
        norms = self.gradient_norms.astype(np.float64)
        return {
            "epoch": epoch + 1,
            "lr": settings.learning_rate(epoch),
            "second_loss_component_weight": settings.second_weight(epoch),
            "train_loss": self.train_loss,
            "val_loss": self.val_loss,
            "gradient_norm": {
                "mean": _finite(norms.mean()),
                "max": _finite(norms.max()),
            },
            "batch_themes": self.themes.summary(),
            "train": self.train,
            "val": self.val,
        }


class RunLogs:
    """Of runs that train together; for the process that writes."""

    def __init__(
        self,
        task: Task,
        runs: Sequence[Run],
        finished_epochs: Sequence[int],
        follower: Follower,
    ):
        """Opens the logs, dropping what was written after the finished epochs.

        Args:
            task: strategy and store.
            runs: all of them.
            finished_epochs: of each.
            follower: is told everything that is written.

        Raises:
            ValueError: a log has fewer epochs.
        """
        self._task, self._runs, self._follower = task, runs, follower
        self._finished_epochs = finished_epochs
        self._tracked: dict[int, TrackedRun] = {}
        self._logs = []
        for run, finished in zip(runs, finished_epochs, strict=True):
            run.folder.mkdir(parents=True, exist_ok=True)
            write_strategy(run.folder.parent, task.config)
            self._logs.append(MetricsLog(run.folder, finished))

    def write(
        self, number: int, epoch: int, came_to: RunEpoch, speed: Mapping[str, Any]
    ) -> str:
        """Writes an epoch of a run; returns the checksum of its log.

        Args:
            number: of the run.
            epoch: from 0.
            came_to: the epoch's results.
            speed: what depends on time, which only `speed.jsonl` and followers get.
        """
        line = came_to.line(self._runs[number], epoch)
        checksum = self._logs[number].write(line)
        norms = came_to.gradient_norms
        samples = {
            "gradient_norm/steps": norms[np.isfinite(norms)],
            "batch_themes/museums_of_a_theme": came_to.themes.museums,
        }
        self._follower.epoch(
            self._followed(number), TrackedEpoch(epoch + 1, line, speed, samples)
        )
        return checksum

    def flush(self) -> None:
        """Puts what was written on the disk: to be called before a checkpoint counts.

        Raises:
            OSError: the disk did not take it.
        """
        for log in self._logs:
            log.flush()

    def failed(self, number: int, epoch: int, failure: str) -> None:
        """Tells followers that a run has failed after some finished epochs."""
        ending = Ending(epoch, {}, failure)
        self._follower.end(self._followed(number), ending)

    def tested(self, results: Sequence[TryResult | None]) -> None:
        """Tells followers how the runs were tested; None for those that failed."""
        for number, result in enumerate(results):
            if result is not None:
                ending = Ending(result.epoch, result.tested.metrics)
                self._follower.end(self._followed(number), ending)

    def _followed(self, number: int) -> TrackedRun:
        """What followers know a run by; they hear of it first when there is news.

        Not before, as it may turn out that a program's runs do not fit the memory.
        """
        if number not in self._tracked:
            run = self._runs[number]
            record = RunRecord.of(run, self._task.config, self._task.store, self._runs)
            facts = dataclasses.asdict(record)
            del facts["together"]
            self._tracked[number] = TrackedRun(
                name=run.name,
                group=run.experiment,
                folder=run.folder,
                finished_epochs=self._finished_epochs[number],
                facts=facts,
            )
            self._follower.begin(self._tracked[number])
        return self._tracked[number]


def _finite(value: float) -> float | None:
    # Squares of a large norm may be infinite in float32; JSON has no such number.
    return float(value) if math.isfinite(value) else None
