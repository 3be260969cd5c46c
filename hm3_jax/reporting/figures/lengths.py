"""Quality against the number of sentences of a query: one line a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hm3_jax.objective.metric_table import BY_KEY
from hm3_jax.reporting.choose import choose_shown
from hm3_jax.reporting.figures.style import (
    COLOURS,
    DASHES,
    MARKERS,
    Drawing,
    legend_below,
    new_figure,
    wrapped,
)
from hm3_jax.reporting.length_tables import Curve, Searched, lengths_of
from hm3_jax.reporting.records import Run

ZERO_SHOT = "zero-shot"
"""What the model that is not trained is called; it is drawn in grey."""

_METRICS = ("t2s_R@10", "t2s_mAP")
_GREY = "#888888"


def draw_lengths(
    searched: Searched, curves: Sequence[Curve], shown: Sequence[Run], name: str
) -> Drawing:
    """Draws mean and standard deviation over tries of every model.

    Args:
        searched: what was tested with.
        curves: of the models, at least one.
        shown: runs that figures show; where none of these is there, some are chosen.
        name: file stem.
    """
    drawn = _drawn(curves, shown)
    lengths = lengths_of(drawn)
    figure, axes = new_figure(2.8, 1, len(_METRICS))
    handles: dict[Curve, Any] = {}
    rows: list[tuple[Any, ...]] = []
    for axis, metric in zip(axes[0], _METRICS, strict=True):
        number = 0
        for curve in drawn:
            points = [
                (place, length, mean, curve.deviation(length, metric))
                for place, length in enumerate(lengths)
                if (mean := curve.mean(length, metric)) is not None
            ]
            colour, dash, marker = _GREY, DASHES[0], MARKERS[0]
            if curve.name != ZERO_SHOT:
                colour = COLOURS[number % len(COLOURS)]
                dash = DASHES[number // len(COLOURS) % len(DASHES)]
                marker = MARKERS[number % len(MARKERS)]
                number += 1
            handles[curve] = axis.errorbar(
                [place for place, *_ in points],
                [mean for _, _, mean, _ in points],
                yerr=[deviation or 0 for *_, deviation in points],
                color=colour,
                ecolor=(colour, 0.5),
                elinewidth=0.6,
                linestyle=dash,
                marker=marker,
                zorder=2 if curve.name == ZERO_SHOT else 3,
            )
            rows += [
                (curve.name, length, metric, mean, deviation)
                for _, length, mean, deviation in points
            ]
        axis.set_xticks(range(len(lengths)), lengths)
        axis.set_xlim(-0.3, len(lengths) - 0.7)
        axis.set_ylim(bottom=0)
        axis.set_axisbelow(True)
        axis.set_xlabel("sentences of the query")
        axis.set_ylabel(f"{BY_KEY[metric].label} (%)")
        axis.grid(linewidth=0.3, color="#DDDDDD")
    legend_below(figure, [(wrapped(curve.name), handles[curve]) for curve in drawn])
    left = len(curves) - len(drawn)
    return Drawing(
        name=name,
        title=f"Quality against sentences of the query: {searched}",
        caption=(
            "Queries are this many consecutive sentences of each description, the same "
            "for all models; all: whole descriptions. Bars: standard deviation over "
            "tries."
            + (f" Grey: {ZERO_SHOT}, without training." if _has_grey(drawn) else "")
            + (f" {left} more in the table." if left else "")
        ),
        figure=figure,
        heads=("model", "sentences", "metric", "mean", "std"),
        rows=rows,
    )


def _drawn(curves: Sequence[Curve], shown: Sequence[Run]) -> list[Curve]:
    """Curves of the runs that are shown, and of all evaluations."""
    runs = [curve.run for curve in curves if curve.run is not None]
    wanted = [run for run in runs if run in shown]
    if runs and not wanted:
        wanted = choose_shown(runs)
    return [curve for curve in curves if curve.run is None or curve.run in wanted]


def _has_grey(curves: Sequence[Curve]) -> bool:
    return any(curve.name == ZERO_SHOT for curve in curves)
