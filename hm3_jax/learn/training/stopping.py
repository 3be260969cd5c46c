"""Which epoch is best and when a try ends early."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from hm3_jax.learn.settings import TrainSettings
from hm3_jax.objective.metric_table import BEST_STRATEGIES, BY_KEY


@dataclasses.dataclass(frozen=True, slots=True)
class TryProgress:
    """Where the training of one try stands after an epoch.

    Attributes:
        epoch: number of finished epochs.
        best_score: best value of `best_strategy` so far, larger is better; None before.
        best_epoch: number of finished epochs when it was reached.
        lowest_loss: lowest val loss that counted for `loss_patience`; None before.
        epochs_without: epochs since then.
        ended: whether the try has ended early.
        failure: what ended it, if that was not `loss_patience`; None otherwise.
        log_checksum: of the lines of `metrics.jsonl` for these epochs; None before,
            where an earlier version saved it, and in processes that do not write.
    """

    epoch: int = 0
    best_score: float | None = None
    best_epoch: int | None = None
    lowest_loss: float | None = None
    epochs_without: int = 0
    ended: bool = False
    failure: str | None = None
    log_checksum: str | None = None

    @classmethod
    def read(cls, values: Any, where: object) -> "TryProgress":
        """TryProgress that was written as JSON.

        Args:
            values: what was read.
            where: it was read from, for the message.

        Raises:
            ValueError: it is something else.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(
                f"{where}: expected the progress of a try, found {error}"
            ) from None

    @property
    def begun(self) -> int:
        """Number of epochs it took part in, with the one that it failed in."""
        return self.epoch + (self.failure is not None)

    def failed(self, failure: str) -> "TryProgress":
        """TryProgress of a try that cannot go on."""
        return dataclasses.replace(self, ended=True, failure=failure)

    def after_epoch(
        self,
        settings: TrainSettings,
        val_metrics: Mapping[str, float],
        val_loss: float,
        log_checksum: str | None = None,
    ) -> "TryProgress":
        """TryProgress after one more epoch; the same once the try has ended.

        Args:
            settings: of the run.
            val_metrics: published metrics on the val split.
            val_loss: loss on the val split.
            log_checksum: of the log with this epoch's line.
        """
        if self.ended:
            return self
        epoch = self.epoch + 1
        best_score, best_epoch = self.best_score, self.best_epoch
        if settings.best_strategy is not None:
            score = _score(settings.best_strategy, val_metrics)
            if best_score is None or score > best_score:
                best_score, best_epoch = score, epoch
        lowest, without = self.lowest_loss, self.epochs_without + 1
        if lowest is None or val_loss < lowest - (settings.loss_delta or 0.0):
            lowest, without = val_loss, 0
        patience = settings.loss_patience
        return TryProgress(
            epoch=epoch,
            best_score=best_score,
            best_epoch=best_epoch,
            lowest_loss=lowest,
            epochs_without=without,
            ended=patience is not None and without >= patience,
            log_checksum=log_checksum,
        )


def _score(best_strategy: str, metrics: Mapping[str, float]) -> float:
    key = BEST_STRATEGIES[best_strategy]
    return -metrics[key] if BY_KEY[key].lower_is_better else metrics[key]
