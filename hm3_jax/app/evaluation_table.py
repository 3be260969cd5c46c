"""What evaluated checkpoints are called, and one table of all of them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from hm3_jax.files.csv_files import write_csv
from hm3_jax.files.words import counted
from hm3_jax.learn.evaluation.saved_model import Evaluation
from hm3_jax.objective.metric_table import MAIN_KEYS
from hm3_jax.reporting.by_theme import main_heads


def checkpoint_names(checkpoints: Sequence[str]) -> list[str]:
    """Names for folders: what tells the paths of checkpoints apart.

    >>> checkpoint_names(["runs/STL/rnn/try_1", "runs/STL/rnn/try_2"])
    ['try_1', 'try_2']
    >>> checkpoint_names(["runs/A/rnn/try_1", "runs/B/rnn/try_1"])
    ['A__rnn__try_1', 'B__rnn__try_1']
    >>> checkpoint_names(["hub:ann/rnn", "hub:ann/rnn@v2"])
    ['rnn', 'rnn_v2']

    Raises:
        ValueError: If a checkpoint is given twice, or none is.
    """
    if not checkpoints:
        raise ValueError("expected checkpoints, found none")
    paths = [PurePath(os.path.abspath(name)).parts for name in checkpoints]
    for number, parts in enumerate(paths):
        if parts in paths[:number]:
            raise ValueError(
                f"expected each checkpoint once, found {checkpoints[number]} twice"
            )
    shared = 0
    while all(
        len(parts) > shared + 1 and parts[shared] == paths[0][shared] for parts in paths
    ):
        shared += 1
    names = [re.sub(r"[^\w.-]", "_", "__".join(parts[shared:])) for parts in paths]
    if len(set(names)) < len(names):
        names = [f"{number}__{name}" for number, name in enumerate(names, 1)]
    return names


def title_of(evaluation: Evaluation) -> str:
    """What was evaluated on what, in a line."""
    return (
        f"{evaluation.strategy}, epoch {evaluation.epoch}, on {evaluation.split} of "
        f"{evaluation.dataset_name} ({evaluation.dataset_kind} features, "
        f"{counted(len(evaluation.ids), 'museum')})"
    )


def table_of(evaluated: Sequence[tuple[str, Evaluation]]) -> list[str]:
    """The table for people to read: some metrics of museums for descriptions.

    Args:
        evaluated: Names of checkpoints and what they reached.
    """
    width = max(len("checkpoint"), *(len(name) for name, _ in evaluated))
    lines = [
        f"{'checkpoint':{width}s} {'split':10s} {'museums':>7s}"
        + "".join(f" {head:>11s}" for head in main_heads())
    ]
    for name, evaluation in evaluated:
        metrics = evaluation.tested.metrics
        lines.append(
            f"{name:{width}s} {evaluation.split:10s} {len(evaluation.ids):7d}"
            + "".join(f" {metrics[key]:11.3f}" for key in MAIN_KEYS)
        )
    return lines


def write_table(path: Path, evaluated: Sequence[tuple[str, Evaluation]]) -> None:
    """Writes the table with all metrics as CSV; see `table_of`."""
    every = (key for _, evaluation in evaluated for key in evaluation.metrics)
    keys = list(dict.fromkeys(every))
    heads = ["checkpoint", "split", "strategy", "epoch", "dataset", "kind", "museums"]
    rows: list[list[object]] = [[*heads, *keys]]
    for name, evaluation in evaluated:
        about = [
            name,
            evaluation.split,
            evaluation.strategy,
            evaluation.epoch,
            evaluation.dataset_name,
            evaluation.dataset_kind,
            len(evaluation.ids),
        ]
        metrics = evaluation.metrics
        rows.append([*about, *(metrics.get(key, "") for key in keys)])
    write_csv(path, rows)
