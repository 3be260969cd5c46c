"""Where in the ranking museums of a query's theme stand, for queries at quartiles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hm3_jax.reporting.figures.style import (
    COLOURS,
    LINE,
    Drawing,
    most_lines,
    new_figure,
)
from hm3_jax.reporting.query_scores import in_ranked_order, own_ranks
from hm3_jax.reporting.records import Run
from hm3_jax.reporting.release_output import EmbeddedTest, TestedRun

_KEY = "t2s_mAP_by_class"
# Ranks beyond which neighbours share a bar.
_BARS = 350


def draw_strips(
    names: Mapping[Run, str],
    tests: Mapping[Run, TestedRun],
    embedded: Mapping[Run, EmbeddedTest],
    name: str,
) -> Drawing:
    """Draws a strip a run for the queries at the quartiles of the first run.

    Args:
        names: what to call the runs, in order; all tested on the same museums in the
            same order.
        tests: of these runs.
        embedded: of these runs.
        name: file stem.
    """
    from matplotlib.lines import Line2D

    runs = list(names)
    tested = tests[runs[0]]
    queries = quartile_queries(tested.scores[_KEY].mean(axis=0))
    row = max(0.27, 0.06 + LINE * most_lines(names.values()))
    figure, axes = new_figure(0.55 + 3 * (0.35 + row * len(runs)), 3, 1)
    relevant = tested.themes[queries][:, None] == tested.themes
    positions, own = {}, {}
    for run in runs:
        similarity = embedded[run].ranking.similarity(queries)
        ranked = in_ranked_order(similarity, relevant)
        positions[run] = [np.flatnonzero(row) + 1 for row in ranked]
        own[run] = own_ranks(similarity, queries)
    count = len(tested.ids)
    bars = min(count, _BARS)
    rows = []
    for number, (query, which) in enumerate(
        zip(queries, ("lower quartile", "median", "upper quartile"), strict=True)
    ):
        axis = axes[number, 0]
        shares = np.array(
            [_shares(positions[run][number], count, bars) for run in runs]
        )
        axis.imshow(
            shares,
            cmap="Blues",
            vmin=0,
            vmax=1,
            aspect="auto",
            interpolation="nearest",
            extent=(0.5, count + 0.5, len(runs) - 0.5, -0.5),
        )
        for place, run in enumerate(runs):
            rank = own[run][number]
            axis.plot(
                rank,
                place,
                "D",
                color=COLOURS[1],
                ms=4,
                mec="white",
                mew=0.5,
                clip_on=False,
            )
            rows += [
                (which, tested.ids[query], run.name, position, int(position == rank))
                for position in positions[run][number]
            ]
        axis.set_yticks(range(len(runs)), list(names.values()))
        axis.set_yticks(np.arange(len(runs) - 1) + 0.5, minor=True)
        axis.grid(which="minor", axis="y", color="white", linewidth=3)
        axis.tick_params(which="both", length=0)
        for spine in axis.spines.values():
            spine.set_visible(False)
        theme = tested.theme_names[tested.themes[query]]
        size = int(np.sum(tested.themes == tested.themes[query]))
        axis.set_title(f"{which}: theme {theme}, {size} of {count} museums", loc="left")
    axes[-1, 0].set_xlabel("rank of a museum")
    marker = Line2D(
        [], [], color=COLOURS[1], marker="D", ls="", label="museum described"
    )
    figure.legend(handles=[marker], loc="outside lower right")
    tries = sorted({embedded[run].number for run in runs})
    return Drawing(
        name=name,
        title="Ranking strips at the quartiles of mAP by theme",
        caption=(
            "For the test descriptions at the quartiles of mAP by theme of "
            f"{runs[0].name}: ranks of the museums of the same theme (dark), best rank "
            f"on the left. Try {', '.join(map(str, tries))}."
            + (f" A bar is {count / bars:.1f} ranks." if bars < count else "")
        ),
        figure=figure,
        heads=("quartile", "museum", "run", "rank", "museum described"),
        rows=rows,
    )


def quartile_queries(values: np.ndarray) -> np.ndarray:
    """Queries that stand at the quartiles, by rank; of equals that of lower index."""
    order = np.argsort(values, kind="stable")
    last = len(values) - 1
    return order[[last // 4, last // 2, 3 * last // 4]]


def _shares(positions: np.ndarray, count: int, bars: int) -> np.ndarray:
    """Share of each bar's ranks that are of the theme."""
    edges = np.linspace(0.5, count + 0.5, bars + 1)
    found = np.histogram(positions, edges)[0]
    return found / np.maximum(np.histogram(np.arange(1, count + 1), edges)[0], 1)
