"""What is shown of an epoch while training."""

import dataclasses
from collections.abc import Sequence


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
    """

    epoch: int
    epochs: int
    runs: Sequence[str]
    train_loss: Sequence[float]
    val_loss: Sequence[float]
    val_metrics: Sequence[dict[str, float]]
    museums_per_second: float
