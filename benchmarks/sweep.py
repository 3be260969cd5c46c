"""Runs swept together against the same runs one after the other.

python -m benchmarks.sweep --features=STORE [--runs=12] [--epochs=4] [--rounds=2]

One JSON line a case, then the ratio. Cases run in turns, in processes of their own, so
that all see the same machine. Compilation is told apart from the epochs: both ways
compile once, and the epochs are what repeats.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from benchmarks.cases import STRATEGY
from benchmarks.in_process import measured


def case(store: str, runs: int, epochs: int, strategy: str) -> dict[str, float]:
    """Trains some runs together; seconds of the first epoch and of a later one."""
    import jax
    import numpy as np

    from benchmarks.floor import epoch_flops
    from hm3_jax.data.store import open_store
    from hm3_jax.learn.evaluation.task import Task
    from hm3_jax.learn.saved.run import Run
    from hm3_jax.learn.settings import Execution, TrainSettings
    from hm3_jax.learn.training.trainer import Trainer
    from hm3_jax.nn.strategy import hm3_strategy
    from hm3_jax.nn.strategy_json import load_strategy

    opened, config = open_store(store), load_strategy(Path(strategy))
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
        trainer = Trainer(
            Task(opened, config), points, Execution(save_every_seconds=1e9)
        )

        def listener(report):
            ends.append(time.perf_counter())
            worked.append(time.process_time())
            trained.append(museums * runs / report.museums_per_second)

        museums = len(opened.splits["train"])
        trainer.run(listener=listener)
        total = time.perf_counter() - start
    train = np.asarray(opened.splits["train"])
    flops = epoch_flops(opened, hm3_strategy(config), train) * runs
    steps = -(-museums // points[0].settings.batch_size)
    return {
        "runs": runs,
        "first_epoch_seconds": ends[0] - start,
        "epoch_seconds": float(min(np.diff(ends))),
        "epoch_cpu_seconds": float(min(np.diff(worked))),
        "step_milliseconds": 1000 * min(trained[1:]) / steps,
        "training_flops_per_second": float(flops / min(trained[1:])),
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
