"""Confusion between themes: which themes the first museums of a ranking have."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.reporting.figures.style import (
    LINE,
    Drawing,
    most_lines,
    new_figure,
    shortened,
)
from hm3_jax.reporting.query_scores import Ranking, ranked
from hm3_jax.reporting.records import Run
from hm3_jax.reporting.release_output import EmbeddedTest, TestedRun

FIRST = 10
"""Museums of a ranking that count."""

# Themes that a figure has room for; the rarer ones are put together.
_THEMES = 15
_LABEL_WIDTH = 22  # characters of a line
_BLOCK = 128


def draw_confusion(
    names: Mapping[Run, str],
    tests: Mapping[Run, TestedRun],
    embedded: Mapping[Run, EmbeddedTest],
    name: str,
) -> Drawing:
    """Draws a matrix per run, side by side.

    Args:
        names: what to call the runs, at most two, in order.
        tests: of these runs.
        embedded: of these runs.
        name: file stem.
    """
    runs = list(names)
    themes, labels = _gathered(tests[runs[0]])
    shown = [shortened(label, _LABEL_WIDTH) for label in labels]
    # They stand upright below the matrix.
    longest = max(map(len, shown))
    rows_height = max(1.0, 0.2 * len(labels))
    height = 0.6 + LINE * most_lines(names.values()) + 0.06 * longest + rows_height
    figure, axes = new_figure(height, 1, len(runs), sharey=True)
    rows, images = [], []
    for axis, run in zip(axes[0], runs, strict=True):
        of_run = themes if run is runs[0] else _gathered(tests[run])[0]
        shares = theme_shares(embedded[run].ranking, of_run, len(labels))
        options = {"cmap": "Blues", "vmin": 0, "vmax": 100, "aspect": "auto"}
        images.append(axis.imshow(shares, **options))
        for i, j in np.ndindex(*shares.shape):
            rows.append((run.name, labels[i], labels[j], shares[i, j]))
            if shares[i, j] >= 0.5:
                axis.text(
                    j,
                    i,
                    f"{shares[i, j]:.0f}",
                    ha="center",
                    va="center",
                    fontsize=5.5,
                    color="white" if shares[i, j] > 55 else "black",
                )
        axis.set_title(names[run])
        axis.set_xticks(range(len(labels)), shown, rotation=90)
        axis.set_yticks(range(len(labels)), shown)
        axis.tick_params(length=0)
        axis.set_xlabel("theme of the museums found")
    axes[0, 0].set_ylabel("theme of the description")
    figure.colorbar(
        images[0],
        ax=list(axes[0]),
        shrink=0.7,
        label=f"% of the first {FIRST}",
        pad=0.02,
    )
    tries = sorted({embedded[run].number for run in runs})
    return Drawing(
        name=name,
        title="Confusion between themes",
        caption=(
            f"Share of themes among the first {FIRST} museums for test descriptions of "
            "a theme (a row adds up to 100); shares below 0.5 % have no number. "
            f"Try {', '.join(map(str, tries))}."
        ),
        figure=figure,
        heads=("run", "theme of the description", "theme found", "percent"),
        rows=rows,
    )


def theme_shares(
    ranking: Ranking, themes: Int[np.ndarray, " n"], count: int, first: int = FIRST
) -> Float[np.ndarray, "count count"]:
    """Percent of each theme among the first museums, by theme of the description.

    Args:
        ranking: t2s.
        themes: numbers below `count`.
        count: of themes.
        first: museums of a ranking that count, all if there are fewer.
    """
    found = np.zeros((count, count))
    for start in range(0, len(themes), _BLOCK):
        rows = slice(start, start + _BLOCK)
        top = themes[ranked(ranking.similarity(rows))[:, :first]]
        queries = np.broadcast_to(themes[rows][:, None], top.shape)
        np.add.at(found, (queries, top), 1)
    return 100 * found / np.maximum(found.sum(axis=1, keepdims=True), 1)


def _gathered(tested: TestedRun) -> tuple[Int[np.ndarray, " n"], list[str]]:
    """Themes and labels, the rarer ones as "other"."""
    sizes = np.bincount(tested.themes, minlength=len(tested.theme_names))
    if len(sizes) <= _THEMES:
        return tested.themes, list(tested.theme_names)
    kept = np.sort(np.argsort(-sizes, kind="stable")[: _THEMES - 1])
    number = np.full(len(sizes), len(kept))
    number[kept] = np.arange(len(kept))
    labels = [tested.theme_names[theme] for theme in kept]
    return number[tested.themes], [*labels, f"{len(sizes) - len(kept)} others"]
