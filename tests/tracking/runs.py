"""Runs and epochs for the tests of trackers."""

from pathlib import Path
from typing import Any

import numpy as np

from hm3_jax.tracking.tracker import Ending, TrackedEpoch, TrackedRun

TESTED = Ending(epoch=3, test={"t2s_R@1": 12.5})
FAILED = Ending(epoch=2, test={}, failure="loss became nan")


def run(folder: Path, attempt: int = 1, finished_epochs: int = 0) -> TrackedRun:
    """A try, whose folder is made."""
    (folder / f"try_{attempt}").mkdir(exist_ok=True, parents=True)
    return TrackedRun(
        name=f"theme/rnn/try_{attempt}",
        group="theme",
        folder=folder / f"try_{attempt}",
        finished_epochs=finished_epochs,
        facts={"settings": {"lr": 0.01}, "dataset_name": "small"},
    )


def epoch(number: int, **changes: Any) -> TrackedEpoch:
    """An epoch whose numbers tell which one it is."""
    line = {
        "epoch": number,
        "second_loss_component_weight": None,
        "train_loss": 1 / number,
        "gradient_norm": {"mean": 0.5, "max": 2},
        "val": {"t2s_R@1": 10.0 * number},
        **changes,
    }
    samples = {"gradient_norm/steps": np.linspace(0, number, 7, dtype=np.float32)}
    speed = {"museums_per_second": 100.0 * number, "train_seconds": 2.5}
    return TrackedEpoch(number, line, speed, samples)
