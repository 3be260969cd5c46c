"""mAP against mAP by theme: one line per strategy, one marker per weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hm3_jax.reporting.figures.style import (
    COLOURS,
    DASHES,
    MARKERS,
    Drawing,
    new_figure,
    shade,
    wrapped,
)
from hm3_jax.reporting.published import load_published
from hm3_jax.reporting.records import DataSet, Run
from hm3_jax.reporting.settings import THEME_SETTINGS, differing, loss_of

_X, _Y = "t2s_mAP", "t2s_mAP_by_class"
_PUBLISHED = "published"
_VIDEO = ", +video"
# Markers of what has no weight, by name of the loss.
_STANDARD, _OTHER = "STL", "other loss"


def draw_trade_off(data: DataSet, runs: Sequence[Run], name: str) -> Drawing | None:
    """Draws all runs of a data set that have both metrics.

    Published numbers are drawn too (hollow, thin) where the data set is theirs.

    Returns:
        The figure; None where no run has both metrics.
    """
    drawable = [
        run for run in runs if run.mean(_X) is not None and run.mean(_Y) is not None
    ]
    apart = differing(drawable, THEME_SETTINGS) if drawable else {}
    points = [
        (_series(run, apart[run]), _weight(run), run.name, run) for run in drawable
    ]
    if not points:
        return None
    points, left = _connected(points)
    margins = _margins(points)
    weights = sorted({weight for _, weight, *_ in points if isinstance(weight, float)})
    published = _published(data)
    weights = sorted({*weights, *(weight for _, weight, _, _ in published)})
    marker: dict[Any, str] = {
        w: MARKERS[i % len(MARKERS)] for i, w in enumerate(weights)
    }
    marker |= {_STANDARD: "*", _OTHER: "x"}
    colour = _colours({series[0] for series, *_ in points}, {p[0] for p in published})
    dash = {m: DASHES[i % len(DASHES)] for i, m in enumerate(margins)}
    # Of one margin, dashes are free to tell those without videos.
    plain = [s for s in colour if len(dash) < 2 and s + _VIDEO in colour]
    style = dict.fromkeys(colour, DASHES[0]) | dict.fromkeys(plain, DASHES[1])

    figure, axes = new_figure(3.6)
    axis = axes[0, 0]
    rows: list[tuple[Any, ...]] = []
    for series in dict.fromkeys(series for series, *_ in points):
        strategy, margin = series
        of_series = [point for point in points if point[0] == series]
        of_series.sort(key=lambda p: p[1] if isinstance(p[1], float) else -1)
        if margin is not None:
            axis.plot(
                [p[3].mean(_X) for p in of_series],
                [p[3].mean(_Y) for p in of_series],
                color=colour[strategy],
                linestyle=dash[margin] if len(dash) > 1 else style[strategy],
                zorder=2,
            )
        for _, weight, run_name, run in of_series:
            x, y = run.mean(_X), run.mean(_Y)
            dx, dy = run.deviation(_X), run.deviation(_Y)
            axis.errorbar(
                x,
                y,
                xerr=dx,
                yerr=dy,
                marker=marker[weight],
                markersize=8 if weight == _STANDARD else 5,
                color=colour[strategy],
                ecolor=(colour[strategy], 0.5),
                elinewidth=0.6,
                # A cross is nothing but edges.
                markeredgecolor=colour[strategy] if weight == _OTHER else "white",
                markeredgewidth=1 if weight == _OTHER else 0.5,
                zorder=3,
            )
            rows.append(("ours", run_name, strategy, margin, weight, x, dx, y, dy))
    for strategy, weight, x, y in published:
        rows.append((_PUBLISHED, "", strategy, 0.15, weight, x, None, y, None))
    for strategy in dict.fromkeys(point[0] for point in published):
        of_strategy = [p for p in published if p[0] == strategy]
        tint = colour[strategy]
        axis.plot(
            [p[2] for p in of_strategy],
            [p[3] for p in of_strategy],
            color=tint,
            linewidth=0.5,
            zorder=1,
        )
        for _, weight, x, y in of_strategy:
            axis.plot(
                x, y, marker[weight], markerfacecolor="none", color=tint, zorder=1
            )
    axis.set_xlabel("mAP (%), finding the museum described")
    axis.set_ylabel("mAP by theme (%), finding museums of its theme")
    axis.margins(0.06)
    axis.grid(linewidth=0.3, color="#DDDDDD")
    _legend(figure, colour, style, marker, dash, bool(published), points)
    return Drawing(
        name=name,
        title=f"mAP against mAP by theme: {data}",
        caption=(
            "Test split, description to museum; one line per strategy and margin "
            "within a theme, one marker per weight of the second component, a star for "
            "the standard triplet loss, a cross for any other loss. Settings that "
            "differ between runs follow the strategy. Bars: standard deviation over "
            "tries."
            + (" Hollow markers: published." if published else "")
            + (
                f" Not drawn, because they have only one weight: {', '.join(left)}."
                if left
                else ""
            )
        ),
        figure=figure,
        heads=(
            "source",
            "run",
            "strategy",
            "margin within theme",
            "weight",
            "mAP mean",
            "mAP std",
            "mAP by theme mean",
            "mAP by theme std",
        ),
        rows=rows,
    )


def _colours(ours: set[str], published: set[str]) -> dict[str, str]:
    """Colours of strategies: of one that is there with and without videos, two shades.

    Strategies that are only published come last, so that ours keep their colours.
    """
    names = [*sorted(ours), *sorted(published - ours)]
    bases = list(dict.fromkeys(name.removesuffix(_VIDEO) for name in names))
    colours = {}
    for name in names:
        base = name.removesuffix(_VIDEO)
        number = bases.index(base)
        again = number // len(COLOURS) + (name == base and base + _VIDEO in names)
        colours[name] = shade(COLOURS[number % len(COLOURS)], again)
    return colours


def _margins(points: Sequence[tuple[Any, ...]]) -> list[float]:
    """Margins within a theme, that of most runs first."""
    margins = [series[1] for series, *_ in points if series[1] is not None]
    return sorted(set(margins), key=lambda margin: (-margins.count(margin), margin))


def _connected(
    points: list[tuple[Any, ...]],
) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Points to draw, and names of runs of other margins that would make no line.

    Without a line, nothing would tell their margin.
    """
    kept, left = [], []
    for point in points:
        series = point[0]
        weights = {weight for other, weight, *_ in points if other == series}
        if series[1] in (None, *_margins(points)[:1]) or len(weights) > 1:
            kept.append(point)
        else:
            left.append(point[2])
    return kept, left


def strategy_label(run: Run, apart: str = "") -> str:
    """The paper's name of a strategy with its inputs; the file's where it has none.

    Args:
        run: whose strategy.
        apart: what sets its settings apart from those of others.
    """
    label = load_published().label(run)
    behind = f" ({apart})" if apart else ""
    if label is None:
        return f"{run.strategy}{behind}"
    return f"{label}{behind}{_VIDEO if run.strategy.endswith('_video') else ''}"


def _series(run: Run, apart: str) -> tuple[str, float | None]:
    """Strategy and margin within a theme; None where there is no second component."""
    margin = None
    if loss_of(run) == "theme-aware":
        margin = run.settings.get("loss_within_category_margin")
    return strategy_label(run, apart), margin


def _weight(run: Run) -> float | str:
    loss = loss_of(run)
    if loss != "theme-aware":
        return _STANDARD if loss == "standard" else _OTHER
    if run.settings.get("loss_within_category_margin") is None:
        return 0.0  # between themes alone: what weight 0 leaves
    weight = run.settings.get("second_loss_component_weight")
    return 0.5 if weight is None else float(weight)


def _published(data: DataSet) -> list[tuple[str, float, float, float]]:
    """(strategy, weight, mAP, mAP by theme), where the data set is the same."""
    published = load_published()
    if not published.is_of(data, "genMuseums"):
        return []
    return [
        (
            f"{strategy}{_VIDEO}",
            float(experiment.settings["second_loss_component_weight"]),
            numbers[experiment.metrics.index(_X)],
            numbers[experiment.metrics.index(_Y)],
        )
        for experiment in published.layouts["weights"].experiments
        for strategy, numbers in experiment.results.items()
    ]


def _legend(
    figure: Any,
    colour: Mapping[str, str],
    style: Mapping[str, Any],
    marker: Mapping[Any, str],
    dash: Mapping[float, Any],
    with_published: bool,
    points: Sequence[tuple[Any, ...]],
) -> None:
    from matplotlib.lines import Line2D

    grey = "#555555"
    drawn = {weight for _, weight, *_ in points}
    entries = [
        Line2D([], [], color=tint, linestyle=style[name], label=wrapped(name))
        for name, tint in colour.items()
    ]
    entries += [
        Line2D(
            [],
            [],
            color=grey,
            marker=shape,
            markersize=8 if weight == _STANDARD else None,
            linestyle="",
            label=f"w = {weight:g}" if isinstance(weight, float) else weight,
        )
        for weight, shape in marker.items()
        if isinstance(weight, float) or weight in drawn
    ]
    if len(dash) > 1:
        entries += [
            Line2D([], [], color=grey, linestyle=style, label=f"margin {margin:g}")
            for margin, style in dash.items()
        ]
    if with_published:
        entries.append(
            Line2D(
                [],
                [],
                color=grey,
                marker="o",
                markerfacecolor="none",
                linewidth=0.5,
                label=_PUBLISHED,
            )
        )
    figure.legend(handles=entries, loc="outside right upper")
