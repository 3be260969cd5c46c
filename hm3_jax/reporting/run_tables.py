"""Tables of all runs of a data set, and of their differences."""

import math
from collections.abc import Mapping, Sequence

from hm3_jax.objective.metric_table import KEYS, label_of
from hm3_jax.objective.sample_size import small_split_notes
from hm3_jax.reporting.bootstrap import Interval
from hm3_jax.reporting.published import said
from hm3_jax.reporting.records import DataSet, Run
from hm3_jax.reporting.release_output import TestedRun
from hm3_jax.reporting.settings import differing, shared
from hm3_jax.reporting.significance import Comparison, best_of, level_with_best
from hm3_jax.reporting.tables import Cell, Mark, Row, Table

SHOWN = (
    "t2s_R@1",
    "t2s_R@5",
    "t2s_R@10",
    "t2s_median_rank",
    "t2s_mAP",
    "t2s_avg_ndcg",
    "t2s_mAP_by_class",
    "t2s_avg_ndcg_by_class",
)
"""Metrics that a page has room for; all are in the CSV."""

MARKS_NOTE = (
    "Mean ± standard deviation over tries; a single try has none. Bold: the best of "
    "its column; ≈: not significantly worse than the best (paired bootstrap over test "
    "queries, p ≥ 0.05, not corrected for the number of comparisons); medR is not "
    "tested."
)


def metric_cells(
    runs: Sequence[Run], tests: Mapping[Run, TestedRun], metric: str
) -> dict[Run, Cell]:
    """A column: means of runs on one data set, marked."""
    scored = [run for run in runs if run.mean(metric) is not None]
    best = best_of(scored, metric) if len(scored) > 1 else None
    level = level_with_best(scored, tests, metric) if len(scored) > 1 else set()

    def mark(run: Run) -> Mark:
        return "best" if run is best else "level" if run in level else ""

    return {
        run: Cell(run.mean(metric), run.deviation(metric), mark(run)) for run in runs
    }


def all_runs(
    data: DataSet,
    runs: Sequence[Run],
    tests: Mapping[Run, TestedRun],
    name: str,
    metrics: Sequence[str] = SHOWN,
) -> Table:
    """Every run of a data set; those not complete are said to be."""
    finished = [run for run in runs if run.tries]
    columns = [metric_cells(finished, tests, metric) for metric in metrics]
    apart = differing(runs)
    any_apart = any(apart.values())
    rows = [
        Row(
            (
                run.experiment,
                run.strategy,
                *([apart[run]] if any_apart else []),
                _tries(run),
                run.date,
            ),
            tuple(column.get(run, Cell()) for column in columns),
            first=number > 0 and run.experiment != runs[number - 1].experiment,
        )
        for number, run in enumerate(runs)
    ]
    notes = [MARKS_NOTE, *_few_notes(finished, tests, columns, metrics)]
    if any(not run.complete for run in runs):
        notes.append(
            "Unfinished tries are not counted: "
            + "; ".join(f"{run.name}: {run.state}" for run in runs if run.state)
            + "."
        )
    return Table(
        name=name,
        title=f"All runs on {data}",
        label_heads=(
            "experiment",
            "strategy",
            *(["settings that differ"] if any_apart else []),
            "tries",
            "date",
        ),
        columns=tuple(("", label_of(metric)) for metric in metrics),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def settings_table(data: DataSet, runs: Sequence[Run], name: str) -> Table:
    """Settings that all runs of a data set have in common."""
    return Table(
        name=name,
        title=f"Settings of all runs on {data}",
        label_heads=("setting", "value"),
        columns=(),
        rows=tuple(
            Row((name, said(value)), ()) for name, value in shared(runs).items()
        ),
        notes=("Settings that differ between runs are in the table of all runs.",),
    )


def every_metric(data: DataSet, runs: Sequence[Run], name: str) -> Table:
    """All metrics of every run, for a CSV file."""
    return all_runs(data, runs, {}, name, KEYS)


def _few_notes(
    runs: Sequence[Run],
    tests: Mapping[Run, TestedRun],
    columns: Sequence[Mapping[Run, Cell]],
    metrics: Sequence[str],
) -> list[str]:
    """What to know of the best run's recalls where few museums were tested."""
    sizes = {len(tests[run].ids) for run in runs if run in tests}
    if len(sizes) != 1:
        return []
    best = {
        metric: max(values)
        for metric, cells in zip(metrics, columns, strict=True)
        if (values := [cell.value for cell in cells.values() if cell.value is not None])
    }
    notes = small_split_notes("The test", sizes.pop(), best)
    return [f"{note}." for note in notes]


def _tries(run: Run) -> str:
    return str(len(run.tries)) if run.complete else f"{len(run.tries)} of {run.asked}"


def significance_table(
    comparisons: Sequence[Comparison], name: str, title: str
) -> Table:
    """Differences of runs with confidence intervals, over queries and over tries.

    Of one pair alone, whose names are long, the title has to name the runs.
    """
    alone = len({(found.a, found.b) for found in comparisons}) == 1
    rows = []
    for number, found in enumerate(comparisons):
        cells = [Cell(found.queries.difference, signed=True)]
        for interval in (found.queries, found.tries):
            cells += _interval_cells(interval)
        metric = label_of(found.metric)
        begins = number > 0 and found.metric != comparisons[number - 1].metric
        labels = (metric,) if alone else (metric, found.a, found.b)
        rows.append(Row(labels, tuple(cells), first=begins and not alone))
    return Table(
        name=name,
        title=title,
        label_heads=("metric",) if alone else ("metric", "A", "B"),
        columns=(
            ("", "A − B"),
            *(
                (group, head)
                for group in ("over queries", "over tries")
                for head in ("95 % low", "95 % high", "p")
            ),
        ),
        rows=tuple(rows),
        notes=(
            "Over queries: paired bootstrap over test queries, each with its mean over "
            "tries, 10,000 resamples, percentile intervals. Over tries: Student's t, "
            "paired where both runs have the same seed and tries, Welch's otherwise. "
            "Two-sided p, not corrected for the number of comparisons. A dash: a run "
            "has fewer than two tries, or all queries or tries differ by the same, and "
            "without a spread there is neither interval nor p. The median rank is no "
            "mean over queries, so it has no test here.",
        ),
    )


def _interval_cells(interval: Interval | None) -> list[Cell]:
    if interval is None or math.isnan(interval.p):
        return [Cell()] * 3
    return [
        Cell(interval.low, signed=True),
        Cell(interval.high, signed=True),
        Cell(interval.p, decimals=4, least=1e-4),
    ]
