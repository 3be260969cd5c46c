"""Compares finished runs with the published code's results on the same data.

python -m benchmarks.results_table --runs=WORKDIR --reference=residences_reference.json

WORKDIR is what launch/residences_results.sh wrote.

A figure agrees where the means differ by at most twice the spread of tries: the
standard deviations of both sides, combined; where the reference has one try, it is
taken to spread as ours do.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

SHOWN = ("R@1", "R@10", "mean_rank", "mAP", "mAP_by_class", "avg_ndcg_by_class")
EXPERIMENTS = {"STL": "STL", "theme": "theme-aware"}


def ours(runs: Path, experiment: str, strategy: str) -> list[dict[str, float]]:
    """Test metrics of every try, of all seeds."""
    files = runs.glob(f"seed_*/{experiment}/{strategy}/try_*/test_metrics.json")
    return [json.loads(file.read_text())["metrics"] for file in sorted(files)]


def rows(reference: dict[str, Any], runs: Path) -> list[tuple[str, str, list, list]]:
    """(strategy, experiment, their tries, our tries) of every comparable row."""
    found = []
    for row in reference["runs"]:
        # Ours masks steps; the release's masking of channels is another model.
        if (row["cnn1d_masking"] or "time").startswith("channels"):
            continue
        for experiment, begins in EXPERIMENTS.items():
            if row["loss"].startswith(begins):
                tries = ours(runs, experiment, row["strategy"])
                if tries:
                    found.append((row["strategy"], experiment, row["tries"], tries))
    return found


def agreement(theirs: list, tries: list, name: str) -> tuple[float, float, float, bool]:
    """Their mean, our mean, our standard deviation, and whether they agree."""
    a, b = ([t[name] for t in side] for side in (theirs, tries))
    spread = np.std(b, ddof=1)
    other = np.std(a, ddof=1) if len(a) > 1 else spread
    mean, our_mean = float(np.mean(a)), float(np.mean(b))
    agrees = abs(mean - our_mean) <= 2 * math.hypot(spread, other) + 1e-9
    return mean, our_mean, float(spread), agrees


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True)
    args = parser.parse_args()
    reference = json.loads(args.reference.read_text())
    columns = [f"t2s_{name}" for name in SHOWN]
    print(f"| strategy | loss | tries | {' | '.join(columns)} | agree |")
    print("|---" * (len(columns) + 4) + "|")
    for strategy, experiment, theirs, tries in rows(reference, args.runs):
        compared = {name: agreement(theirs, tries, name) for name in tries[0]}
        cells = []
        for name in columns:
            mean, our_mean, spread, agrees = compared[name]
            mark = "" if agrees else " **differs**"
            cells.append(f"{our_mean:.2f} ± {spread:.2f} ({mean:.2f}){mark}")
        agreeing = sum(agrees for *_, agrees in compared.values())
        print(
            f"| `{strategy}` | {experiment} | {len(tries)} ({len(theirs)}) | "
            f"{' | '.join(cells)} | "
            f"{agreeing} of {len(compared)} |"
        )


if __name__ == "__main__":
    main()
