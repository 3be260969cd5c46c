"""Runs swept together against the same runs one after the other.

python -m benchmarks.sweep --features=STORE [--runs=12] [--epochs=4] [--rounds=2]

One JSON line a case, then the ratio. Cases run in turns, in processes of their own, so
that all see the same machine. Compilation is told apart from the epochs: both ways
compile once, and the epochs are what repeats.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cases import STRATEGY
from benchmarks.in_process import measured

if TYPE_CHECKING:
    from collections.abc import Callable

    from hm3_jax.learn.batches.features import Features
    from hm3_jax.learn.batches.placement import DataPlacement


class _Enough(Exception):
    """Epochs are all that was wanted."""


def case(
    store: str,
    runs: int,
    epochs: int,
    strategy: str,
    num_devices: int | None = None,
    placement: DataPlacement = "auto",
    change: Callable[[Features], Features] | None = None,
    tested: bool = True,
) -> dict[str, Any]:
    """Trains some runs together; seconds of the first epoch and of a later one.

    Args:
        store: with what the strategy reads.
        runs: trained together.
        epochs: 2 at least.
        strategy: file; operations are counted of HM3's own alone.
        num_devices: to use; all without it.
        placement: of the features.
        change: makes other features of the store's, of the same museums and more.
        tested: whether runs are saved and tested in the end, as in a real sweep.
    """
    import jax
    import numpy as np

    from benchmarks.floor import epoch_flops
    from hm3_jax.data.store import open_store
    from hm3_jax.learn.batches.placement import OnDevice
    from hm3_jax.learn.devices.mesh import Layout
    from hm3_jax.learn.evaluation.task import Task
    from hm3_jax.learn.saved.run import Run
    from hm3_jax.learn.settings import Execution, TrainSettings
    from hm3_jax.learn.training.trainer import Trainer
    from hm3_jax.nn.strategy import TowersConfig
    from hm3_jax.nn.strategy_json import load_strategy

    opened, config = open_store(store), load_strategy(Path(strategy))
    config = config.trained_on(len(opened.themes), len(opened.splits["train"]))
    ends, trained, worked = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        points = [
            Run(
                f"point{i}",
                TrainSettings(
                    seed=i,
                    epochs=epochs,
                    lr=5e-4,
                    use_categories_in_loss=True,
                    loss_within_category_margin=0.1 + 0.01 * i,
                    second_loss_component_weight=0.05,
                ),
                1,
                Path(folder) / str(i) / "strategy" / "try_1",
            )
            for i in range(runs)
        ]
        start = time.perf_counter()
        task = Task(opened, config, placement)
        if change is not None:
            task.features = change(task.features)
        execution = Execution(save_every_seconds=1e9, num_devices=num_devices)
        trainer = Trainer(task, points, execution)

        def listener(report):
            ends.append(time.perf_counter())
            worked.append(time.process_time())
            trained.append(museums * runs / report.museums_per_second)
            if not tested and report.epoch == epochs:
                raise _Enough

        museums = len(opened.splits["train"])
        with contextlib.suppress(_Enough):
            trainer.run(listener=listener)
        total = time.perf_counter() - start
        on_device = isinstance(
            task.source(
                Layout.of(
                    runs,
                    execution.devices(),
                    splits_batches=task.splits_batches,
                )
            ),
            OnDevice,
        )
    counted = {}
    if isinstance(config, TowersConfig):
        flops = epoch_flops(opened, config, np.asarray(opened.splits["train"])) * runs
        counted["training_flops_per_second"] = float(flops / min(trained[1:]))
    steps = -(-museums // points[0].settings.batch_size)
    return {
        "runs": runs,
        "first_epoch_seconds": ends[0] - start,
        "epoch_seconds": float(min(np.diff(ends))),
        "epoch_cpu_seconds": float(min(np.diff(worked))),
        "step_milliseconds": 1000 * min(trained[1:]) / steps,
        "training_seconds": min(trained[1:]),
        **counted,
        "features_lie_on": "device" if on_device else "host",
        "total_seconds": total,
        "device": jax.devices()[0].device_kind,
    }


def main() -> None:
    """Measures both ways in turns and prints the ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--features", required=True, help="store with videos")
    parser.add_argument(
        "--runs", default="12", help="runs at once; several numbers with commas"
    )
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--strategy", default=str(STRATEGY))
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.features = str(Path(args.features).resolve())
    args.strategy = str(Path(args.strategy).resolve())
    if args.case:
        print(json.dumps(case(args.features, args.case, args.epochs, args.strategy)))
        return
    sizes = [1, *map(int, args.runs.split(","))]
    found: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for _ in range(args.rounds):
        for size in sizes:
            given = (f"--features={args.features}", f"--strategy={args.strategy}")
            case_flags = (f"--case={size}", f"--epochs={args.epochs}")
            found[size].append(measured("benchmarks.sweep", *case_flags, *given))
    for size in sizes[1:]:
        for what in ("epoch_seconds", "epoch_cpu_seconds", "total_seconds"):
            together, alone = (min(r[what] for r in found[n]) for n in (size, 1))
            print(
                f"{what}: {size} runs together {together:.2f}, "
                f"{together / (size * alone):.2f} times {size} runs one after the other"
            )


if __name__ == "__main__":
    main()
