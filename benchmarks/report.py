"""Time and memory of `report` on many finished runs.

    python -m benchmarks.report --runs=50 --museums=2000 --tries=3

Writes run folders as training does, with random embeddings in place of trained ones,
makes the report (tables, significance, all figures) in a process of its own, and prints
one JSON line. Its memory is the most that it and its processes have at a time,
looked at 20 times a second; pages that they share count once for each.
"""

import argparse
import dataclasses
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hm3_jax.files.run_format import try_folder
from hm3_jax.learn.saved.run import RunRecord
from hm3_jax.learn.saved.run_folder import (
    MetricsLog,
    Tested,
    TryResult,
    write_experiment,
    write_test,
)
from hm3_jax.learn.settings import TrainSettings
from hm3_jax.nn.strategy import StrategyConfig
from hm3_jax.nn.strategy_json import load_strategy, to_json
from hm3_jax.objective.metrics import retrieval_metrics

_CONFIGS = Path(__file__).resolve().parent.parent / "configs/strategies/pov_and_video"
_SIZE = 256
_THEMES = 9


def main() -> None:
    """Writes runs, reports on them and prints what it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--museums", type=int, default=2000)
    parser.add_argument("--tries", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        runs, output = Path(place) / "runs", Path(place) / "report"
        size = write_runs(runs, given.runs, given.museums, given.tries)
        begin = time.perf_counter()
        command = [sys.executable, "-m", "hm3_jax.report"]
        command += [f"--runs={runs}", f"--output={output}"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            most = 0
            while process.poll() is None:
                most = max(most, _resident(process.pid))
                time.sleep(0.05)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        seconds = time.perf_counter() - begin
    result = {
        "runs": given.runs,
        "tries": given.tries,
        "museums": given.museums,
        "test_output_bytes": size,
        "seconds": round(seconds, 1),
        "peak_bytes": most,
    }
    print(json.dumps(result))


def _resident(pid: int) -> int:
    """Bytes in memory of a process and those below it."""
    folder = Path("/proc") / str(pid)
    try:
        pages = int((folder / "statm").read_text().split()[1])
        children = [
            int(child)
            for task in (folder / "task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (OSError, IndexError, ValueError):  # it has ended
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(map(_resident, children))


def write_runs(folder: Path, runs: int, museums: int, tries: int) -> int:
    """Writes finished runs; bytes of their tests."""
    size = 0
    for (name, settings), config in itertools.islice(_runs(tries), runs):
        where = folder / name / config.file_stem
        results = []
        for attempt in range(1, tries + 1):
            results.append(TryResult(attempt, settings.epochs, _tested(museums, size)))
            try_folder(where, attempt).mkdir(parents=True)
            RunRecord(
                strategy=to_json(config),
                settings={**dataclasses.asdict(settings), "try": attempt},
                dataset_name="generated",
                features={},
                features_checksum="0" * 64,
                together=["."],
                jax_version="",
            ).write(try_folder(where, attempt))
            _write_curves(try_folder(where, attempt), settings, results[-1].tested)
        ids = [f"museum{i}" for i in range(museums)]
        write_test(where, results, ids, np.arange(museums) % _THEMES)
        write_experiment(
            folder / name,
            name=name,
            description="",
            tags=(),
            settings=settings,
            run={
                "base_name": config.file_stem,
                "dataset_kind": "synthetic",
                "themes": [f"theme{number}" for number in range(_THEMES)],
            },
        )
        size += (where / "test_output.json").stat().st_size
    return size


def _runs(tries: int) -> Iterator[tuple[tuple[str, TrainSettings], StrategyConfig]]:
    """Experiments with every strategy of the published ones, without end."""
    configs = [load_strategy(path) for path in sorted(_CONFIGS.glob("*.json"))]
    experiments = (
        (
            f"weight_{number}",
            TrainSettings(
                number_of_tries=tries,
                use_categories_in_loss=True,
                loss_within_category_margin=0.15,
                second_loss_component_weight=1 / (number + 2),
            ),
        )
        for number in itertools.count()
    )
    for experiment in experiments:
        for config in configs:
            yield experiment, config


def _write_curves(folder: Path, settings: TrainSettings, tested: Tested) -> None:
    log = MetricsLog(folder, finished_epochs=0)
    for epoch in range(1, settings.epochs + 1):
        metrics = {key: value / epoch for key, value in tested.metrics.items()}
        losses = {"train_loss": 0.2 / epoch, "val_loss": 0.3 / epoch}
        log.write({"epoch": epoch, **losses, "train": metrics, "val": metrics})


def _tested(museums: int, seed: int) -> Tested:
    random = np.random.default_rng(seed)
    themes = np.arange(museums) % _THEMES
    shown = random.standard_normal((museums, _SIZE), np.float32)
    shown += 3 * np.eye(_SIZE, dtype=np.float32)[themes]
    noise = random.standard_normal((museums, _SIZE), np.float32)
    described = shown + 2 * noise
    return Tested(retrieval_metrics(described, shown, themes), described, shown)


if __name__ == "__main__":
    main()
