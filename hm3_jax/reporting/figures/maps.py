"""Maps: descriptions and museums in two dimensions, coloured by theme."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.files.extras import how_to_install
from hm3_jax.reporting.figures.style import (
    REST_COLOUR,
    THEME_COLOURS,
    Drawing,
    legend_below,
    new_figure,
    wrapped,
)
from hm3_jax.reporting.query_scores import Ranking
from hm3_jax.reporting.records import Run
from hm3_jax.reporting.release_output import EmbeddedTest, TestedRun

POINTS = 2_000
"""Descriptions and museums that a map has room for, and t-SNE time."""

Map = Float[np.ndarray, "points 2"]


def sample(count: int, points: int = POINTS) -> Int[np.ndarray, " museums"]:
    """Museums that a map shows: all, or some drawn at random, always the same."""
    if 2 * count <= points:
        return np.arange(count)
    drawn = np.random.default_rng(0).choice(count, points // 2, replace=False)
    return np.sort(drawn)


def project_tsne(ranking: Ranking, museums: Int[np.ndarray, " museums"]) -> Map:
    """t-SNE by cosine: descriptions, then museums.

    References:
        van der Maaten and Hinton, Visualizing Data using t-SNE (JMLR 2008).

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.
    """
    try:
        from sklearn.manifold import TSNE
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"t-SNE needs scikit-learn: {how_to_install('analysis')}, or --nofigures"
        ) from None
    points = _points(ranking, museums)
    # PCA to begin with keeps what is far apart, and is no matter of chance.
    start = project_pca(ranking, museums)[0]
    start = 1e-4 * start / max(float(start[:, 0].std()), 1e-12)
    options: dict[str, Any] = {"init": start.astype(np.float32)}
    tsne = TSNE(
        metric="cosine",
        perplexity=min(30.0, max(1.0, (len(points) - 1) / 3)),
        # Half of the usual: 2,000 points move little after that.
        angle=0.7,
        max_iter=500,
        random_state=0,
        n_jobs=1,
        **options,
    )
    return tsne.fit_transform(points)


def project_pca(
    ranking: Ranking, museums: Int[np.ndarray, " museums"]
) -> tuple[Map, tuple[float, float]]:
    """First two principal components of unit vectors, and their share of variance.

    The sign of a component is such that its largest loading is positive.
    """
    points = _points(ranking, museums).astype(np.float64)
    centred = points - points.mean(axis=0)
    # Of the small d x d matrix: fifty times as fast as the SVD of all points.
    variances, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, :-3:-1]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(2)])
    shares = variances[:-3:-1] / max(float(variances.sum()), 1e-30)
    return centred @ axes, (float(shares[0]), float(shares[1]))


def draw_map(
    kind: str,
    names: Mapping[Run, str],
    tests: Mapping[Run, TestedRun],
    embedded: Mapping[Run, EmbeddedTest],
    maps: Mapping[Run, Map],
    name: str,
) -> Drawing:
    """Draws a map a run, side by side.

    Args:
        kind: "t-SNE" or "PCA".
        names: what to call the runs, at most two, in order.
        tests: of these runs.
        embedded: of these runs.
        maps: descriptions, then museums, of `sample`.
        name: file stem.
    """
    from matplotlib.lines import Line2D

    runs = list(names)
    figure, axes = new_figure(3.7, 1, len(runs))
    colours = _theme_colours(tests[runs[0]])
    rows = []
    for axis, run in zip(axes[0], runs, strict=True):
        tested = tests[run]
        museums = sample(len(tested.ids))
        labels = [tested.theme_names[t] for t in tested.themes[museums]]
        tints = [colours.get(label, REST_COLOUR) for label in labels]
        described, shown = np.split(maps[run], 2)
        size = 9 if len(museums) > 300 else 16
        axis.scatter(*shown.T, c=tints, s=size * 0.6, marker="o", linewidths=0)
        axis.scatter(
            *described.T,
            s=size,
            marker="s",
            facecolors="none",
            edgecolors=tints,
            linewidths=0.5,
        )
        axis.set_title(names[run])
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_aspect("equal", adjustable="datalim")
        for spine in axis.spines.values():
            spine.set_visible(True)
        for what, points in (("description", described), ("museum", shown)):
            rows += [
                (run.name, what, tested.ids[museum], label, *map(float, point))
                for museum, label, point in zip(museums, labels, points, strict=True)
            ]
    entries = [
        (wrapped(label), Line2D([], [], color=tint, marker="o", linestyle=""))
        for label, tint in colours.items()
    ]
    rest = [name for name in tests[runs[0]].theme_names if name not in colours]
    if rest:
        label = wrapped(rest[0]) if len(rest) == 1 else f"{len(rest)} others"
        others = Line2D([], [], color=REST_COLOUR, marker="o", linestyle="")
        entries.append((label, others))
    black: dict[str, Any] = {"color": "black", "linestyle": ""}
    entries += [
        ("description", Line2D([], [], marker="s", mfc="none", **black)),
        ("museum", Line2D([], [], marker="o", **black)),
    ]
    legend_below(figure, entries)
    shown_museums = len(sample(len(tests[runs[0]].ids)))
    tries = sorted({embedded[run].number for run in runs})
    return Drawing(
        name=name,
        title=f"{kind} of descriptions and museums",
        caption=(
            f"{kind} of {shown_museums} of {len(tests[runs[0]].ids)} test museums "
            "(dots) and their descriptions (hollow squares), coloured by theme. "
            f"Try {', '.join(map(str, tries))}."
        ),
        figure=figure,
        heads=("run", "kind", "museum", "theme", "x", "y"),
        rows=rows,
    )


def _points(
    ranking: Ranking, museums: Int[np.ndarray, " museums"]
) -> Float[np.ndarray, "points d"]:
    return np.concatenate([ranking.queries[museums], ranking.items[museums]])


def _theme_colours(tested: TestedRun) -> dict[str, str]:
    """A colour for each of the most frequent themes, by name."""
    sizes = np.bincount(tested.themes, minlength=len(tested.theme_names))
    kept = np.sort(np.argsort(-sizes, kind="stable")[: len(THEME_COLOURS)])
    return {
        tested.theme_names[theme]: colour
        for theme, colour in zip(kept, THEME_COLOURS, strict=False)
    }
