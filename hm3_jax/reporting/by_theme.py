"""Metrics of the queries of each theme, and which themes are taken for one another."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.files.csv_files import write_csv
from hm3_jax.files.json_files import json_text
from hm3_jax.files.lines import write_text
from hm3_jax.files.words import counted
from hm3_jax.objective.metric_table import BY_KEY, KEYS, MAIN_KEYS

CONFUSED = 3
"""Other themes that are named for a theme."""

# Rows of the table that is printed: themes are many where each museum is its own.
_ROWS = 15


@dataclasses.dataclass(frozen=True, slots=True)
class ThemeScores:
    """What the queries of one theme reach, among the items of all themes.

    Attributes:
        theme: name.
        count: queries, as many in each direction.
        metrics: published keys.
        confused: other themes among the first museums for its descriptions and their
            share of those in percent, the largest first.
    """

    theme: str
    count: int
    metrics: Mapping[str, float]
    confused: Sequence[tuple[str, float]]


def scores_by_theme(
    scores: Mapping[str, Float[np.ndarray, " n"]],
    first: Int[np.ndarray, "n first"],
    themes: Int[np.ndarray, " n"],
    names: Sequence[str],
) -> list[ThemeScores]:
    """Splits the scores of queries by theme.

    Args:
        scores: of every query, by theme too in both directions: `score_queries`.
        first: first museums for every description: `first_ranked`.
        themes: of every museum, numbers of `names`.
        names: of the themes.

    Returns:
        Themes that have museums, in the order of `names`. Means of the metrics,
        weighted by `count`, are those of all queries; medians are not.
    """
    found = []
    for theme in map(int, np.unique(themes)):
        rows = np.flatnonzero(themes == theme)
        metrics = {
            key: metric.summary(scores[key][rows]) for key, metric in BY_KEY.items()
        }
        shares = np.bincount(themes[first[rows]].ravel(), minlength=len(names))
        shares = 100 * shares / shares.sum()
        shares[theme] = 0
        others = map(int, np.argsort(-shares, kind="stable")[:CONFUSED])
        confused = [(names[i], float(shares[i])) for i in others if shares[i] > 0]
        found.append(ThemeScores(names[theme], len(rows), metrics, confused))
    return found


def write_by_theme(folder: Path, themes: Sequence[ThemeScores]) -> None:
    """Writes `by_theme.csv` and `by_theme.json`."""
    heads = ["theme", "n", *KEYS]
    for place in range(1, CONFUSED + 1):
        heads += [f"confused_with_{place}", f"confused_percent_{place}"]
    rows: list[list[object]] = [[*heads]]
    for theme in themes:
        confused = [part for pair in theme.confused for part in pair]
        confused += [""] * (2 * CONFUSED - len(confused))
        rows.append([theme.theme, theme.count, *theme.metrics.values(), *confused])
    write_csv(folder / "by_theme.csv", rows)
    by_name = {
        theme.theme: {
            "n": theme.count,
            "metrics": dict(theme.metrics),
            "confused_with": [
                {"theme": name, "percent": share} for name, share in theme.confused
            ],
        }
        for theme in themes
    }
    write_text(folder / "by_theme.json", json_text(by_name))


def main_heads() -> list[str]:
    """Heads of the columns `MAIN_KEYS` in tables on a terminal."""
    return [
        key.removeprefix("t2s_").replace("_by_class", "/theme") for key in MAIN_KEYS
    ]


def lines_by_theme(themes: Sequence[ThemeScores]) -> list[str]:
    """A table for people to read: the themes with the most museums."""
    largest = sorted(themes, key=lambda theme: -theme.count)[:_ROWS]
    width = max(len("theme"), *(len(theme.theme) for theme in largest))
    heads = main_heads()
    lines = [
        f"  {'theme':{width}s} {'n':>6s}"
        + "".join(f" {head:>11s}" for head in heads)
        + "  taken for"
    ]
    for theme in largest:
        values = "".join(f" {theme.metrics[key]:11.3f}" for key in MAIN_KEYS)
        others = ", ".join(f"{name} {share:.0f} %" for name, share in theme.confused)
        lines.append(f"  {theme.theme:{width}s} {theme.count:6d}{values}  {others}")
    if len(themes) > len(largest):
        rest = counted(len(themes) - len(largest), "smaller theme")
        lines.append(f"  and {rest}")
    return [line.rstrip() for line in lines]
