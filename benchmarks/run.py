"""Runs the benchmarks and prints a table: ours, plain PyTorch, floor.

python -m benchmarks.run --features=STORE [--large_store=STORE] [--rounds=3] [--memory]
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.cases import STRATEGY
from benchmarks.floor import epoch_flops
from benchmarks.in_process import REPOSITORY, measured
from hm3_jax.data.store import open_store
from hm3_jax.nn.strategy import hm3_strategy
from hm3_jax.nn.strategy_json import load_strategy


def rounds_of(cases: list[str], store: str, rounds: int) -> dict[str, list]:
    """Results of cases that are run in turns, so that all see the same machine."""
    results: dict[str, list] = {case: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            results[case].append(measured("benchmarks.cases", case, store))
    return results


def fastest(results: list[dict[str, float]]) -> float:
    return min(result["seconds"] for result in results)


def main() -> None:
    """Measures everything and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--features", required=True, help="store with videos, to train")
    parser.add_argument(
        "--large_store", help="store of 10,000 museums to open; generated without it"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--memory", action="store_true", help="metrics of 50,000 museums too (minutes)"
    )
    args = parser.parse_args()

    features = str(Path(args.features).resolve())
    torch_cases = ["epoch_torch_packed", "epoch_torch_loop"]
    cases = ["gemm_jax", "gemm_torch", "gemm_numpy", "epoch_ours", *torch_cases]
    training = rounds_of(cases, features, args.rounds)
    metrics = rounds_of(["metrics_ours", "metrics_torch"], features, args.rounds)
    with tempfile.TemporaryDirectory() as folder:
        large = args.large_store or _generate(Path(folder) / "store")
        opening = rounds_of(["open_ours", "open_torch"], str(large), 1)

    store, config = open_store(features), hm3_strategy(load_strategy(STRATEGY))
    flops = epoch_flops(store, config, np.asarray(store.splits["train"]))
    rates = {
        case: max(r["flops_per_second"] for r in training[case])
        for case in cases
        if case.startswith("gemm")
    }
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; "
        f"{store.dataset_name}, {len(store.splits['train'])} museums; "
        f"{flops / 1e9:.1f} GFLOP an epoch\n"
    )
    ours = fastest(training["epoch_ours"])
    print(f"| {'':34s} | {'seconds':>9s} | ours is |")
    print(f"|{'-' * 36}|{'-' * 11}|{'-' * 9}|")

    def row(name: str, seconds: float, reference: float) -> None:
        print(f"| {name:34s} | {seconds:9.4f} | {reference / seconds:6.3g}x |")

    row("training epoch, ours", ours, ours)
    for case in torch_cases:
        name = case.removeprefix("epoch_torch_")
        row(f"training epoch, PyTorch ({name})", fastest(training[case]), ours)
    for case, rate in rates.items():
        name = case.removeprefix("gemm_")
        row(f"floor at {name}'s {rate / 1e9:.0f} GFLOP/s", flops / rate, ours)
    ours = fastest(metrics["metrics_ours"])
    row("metrics of 2,000 museums, ours", ours, ours)
    row("metrics of 2,000 museums, PyTorch", fastest(metrics["metrics_torch"]), ours)
    museums = opening["open_ours"][0]["museums"]
    ours = fastest(opening["open_ours"])
    row(f"opening {museums:,} museums, ours", ours, ours)
    row(f"opening {museums:,} museums, torch", fastest(opening["open_torch"]), ours)
    if args.memory:
        large = measured("benchmarks.cases", "metrics_large", features)
        print(
            f"\nmetrics of 50,000 museums: {large['seconds']:.0f} s, "
            f"at most {large['peak_bytes'] / 2**30:.2f} GiB"
        )


def _generate(path: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hm3_jax.synthesize"]
        + [f"--output={path}", "--museums=10000", "--seed=0"],
        cwd=REPOSITORY,
        stdout=sys.stderr,
        check=True,
    )
    return path


if __name__ == "__main__":
    main()
