"""Training curves: losses and val metrics over epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hm3_jax.files.errors import naming
from hm3_jax.files.file_list import listed_damage
from hm3_jax.files.json_files import parse_json
from hm3_jax.files.run_format import LOG, try_folder
from hm3_jax.reporting.figures.style import (
    COLOURS,
    DASHES,
    Drawing,
    legend_below,
    new_figure,
)
from hm3_jax.reporting.records import Run

_PANELS = (
    ("train loss", "train_loss", None),
    ("val loss", "val_loss", None),
    ("val t2s mAP (%)", "val", "t2s_mAP"),
    ("val t2s mAP by theme (%)", "val", "t2s_mAP_by_class"),
)


def draw_curves(
    names: Mapping[Run, str], say: Callable[[str], None], name: str
) -> Drawing | None:
    """Draws the mean over tries of every run, with the range of tries.

    Args:
        names: what to call the runs, in order.
        say: told about logs that cannot be read.
        name: file stem.

    Returns:
        The figure; None where no log can be read.
    """
    logs = {run: _logs(run, say) for run in names}
    logs = {run: tries for run, tries in logs.items() if tries}
    if not logs:
        return None
    figure, axes = new_figure(4.0, 2, 2, sharex=True)
    handles: dict[str, Any] = {}
    rows: list[tuple[Any, ...]] = []
    for axis, (title, key, metric) in zip(axes.ravel(), _PANELS, strict=True):
        longest = 1
        for number, (run, tries) in enumerate(logs.items()):
            values = _by_epoch(tries, key, metric)
            epochs = sorted(values)
            means = [float(np.mean(values[epoch])) for epoch in epochs]
            low = [min(values[epoch]) for epoch in epochs]
            high = [max(values[epoch]) for epoch in epochs]
            colour = COLOURS[number % len(COLOURS)]
            axis.fill_between(epochs, low, high, color=colour, alpha=0.2, linewidth=0)
            (handles[names[run]],) = axis.plot(
                epochs,
                means,
                color=colour,
                linestyle=DASHES[number % len(DASHES)],
                marker="o" if len(epochs) < 6 else None,
            )
            longest = max(longest, *epochs) if epochs else longest
            rows += [
                (run.name, title, epoch, mean, least, most, len(values[epoch]))
                for epoch, mean, least, most in zip(
                    epochs, means, low, high, strict=True
                )
            ]
        axis.set_title(title)
        axis.grid(linewidth=0.3, color="#DDDDDD")
        if longest < 8:
            axis.set_xticks(range(1, longest + 1))
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    legend_below(figure, list(handles.items()))
    return Drawing(
        name=name,
        title="Training curves",
        caption="Mean over tries; shaded, the range of tries.",
        figure=figure,
        heads=("run", "curve", "epoch", "mean", "min", "max", "tries"),
        rows=rows,
    )


def _logs(run: Run, say: Callable[[str], None]) -> list[list[dict[str, Any]]]:
    found = []
    for attempt in run.tries:
        path = try_folder(run.folder, attempt.number) / LOG
        if edited := listed_damage(path.parent, (LOG,)):
            say(f"{edited}; not drawn")
            continue
        try:
            found.append(_read_log(path))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            say(f"{path}: expected a line of metrics per epoch, found {why}; not drawn")
    return found


def _read_log(path: Path) -> list[dict[str, Any]]:
    with naming(path):
        texts = path.read_bytes().splitlines()
    lines = [parse_json(text, f"line {n}") for n, text in enumerate(texts, 1)]
    for number, line in enumerate(lines, 1):
        if not isinstance(line, dict) or not isinstance(line.get("epoch"), int):
            raise ValueError(f"line {number} without an epoch")
    return lines


def _by_epoch(
    tries: Sequence[Sequence[Mapping[str, Any]]], key: str, metric: str | None
) -> dict[int, list[float]]:
    values: dict[int, list[float]] = {}
    for lines in tries:
        for line in lines:
            value = line.get(key)
            if metric is not None:
                value = value.get(metric) if isinstance(value, dict) else None
            if isinstance(value, int | float) and math.isfinite(value):
                values.setdefault(line["epoch"], []).append(float(value))
    return values
