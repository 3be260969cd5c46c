"""Density of mAP by theme over test queries, with quartiles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from hm3_jax.reporting.figures.style import (
    COLOURS,
    LINE,
    Drawing,
    most_lines,
    new_figure,
)
from hm3_jax.reporting.records import Run
from hm3_jax.reporting.release_output import TestedRun

_KEY = "t2s_mAP_by_class"
_GRID = np.linspace(0, 100, 201)


def draw_density(
    names: Mapping[Run, str], tests: Mapping[Run, TestedRun], name: str
) -> Drawing:
    """Draws one density per run, below one another.

    Args:
        names: what to call the runs, in order.
        tests: of these runs.
        name: file stem.
    """
    runs = list(names)
    # A name has a line of quartiles below it.
    row = max(0.75, 0.2 + LINE * (1 + most_lines(names.values())))
    figure, axes = new_figure(0.75 + row * len(runs), len(runs), 1, sharex=True)
    rows = []
    for number, run in enumerate(runs):
        values = tests[run].scores[_KEY].mean(axis=0)
        heights = density(values, _GRID)
        quartiles = np.quantile(values, [0.25, 0.5, 0.75])
        axis, colour = axes[number, 0], COLOURS[number % len(COLOURS)]
        axis.fill_between(_GRID, heights, color=colour, alpha=0.35, linewidth=0)
        axis.plot(_GRID, heights, color=colour)
        tops = np.interp(quartiles, _GRID, heights)
        for place, top, style in zip(quartiles, tops, (":", "-", ":"), strict=True):
            axis.plot([place, place], [0, top], color="black", lw=0.8, ls=style)
        axis.set_ylim(0, 1.08 * heights.max())
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        shown = " | ".join(f"{q:.1f}" for q in quartiles)
        axis.set_ylabel(
            f"{names[run]}\n{shown}", rotation=0, ha="right", va="center", fontsize=7
        )
        rows += [(run.name, x, y) for x, y in zip(_GRID, heights, strict=True)]
    axes[-1, 0].set_xlabel("mAP by theme (%) of a test description")
    axes[-1, 0].set_xlim(0, 100)
    return Drawing(
        name=name,
        title="Density of mAP by theme",
        caption=(
            "Test queries, description to museum, each with its mean over tries; "
            "Gaussian kernel, reflected at 0 and 100. Lines mark the quartiles, which "
            "are printed below each name."
        ),
        figure=figure,
        heads=("run", "mAP by theme", "density"),
        rows=rows,
    )


def density(
    values: Float[np.ndarray, " queries"], grid: Float[np.ndarray, " points"]
) -> Float[np.ndarray, " points"]:
    """Gaussian kernel density on [0, 100], whose mass outside is reflected.

    Args:
        values: in percent.
        grid: where the density is wanted.

    Returns:
        Density per percent; its integral over [0, 100] is 1. The bandwidth is
        Silverman's (1986), 0.9 min(std, iqr / 1.34) n^-1/5, at least half a percent.
    """
    values = np.asarray(values, np.float64)
    quarter, three = np.quantile(values, [0.25, 0.75])
    spread = min(np.std(values), (three - quarter) / 1.34) or np.std(values)
    width = max(0.9 * spread * len(values) ** -0.2, 0.5)
    mirrored = np.concatenate([values, -values, 200 - values])
    distance = (grid[:, None] - mirrored) / width
    kernel = np.exp(-0.5 * np.square(distance))
    return kernel.sum(axis=1) / (len(values) * width * np.sqrt(2 * np.pi))
