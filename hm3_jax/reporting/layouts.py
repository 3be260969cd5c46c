"""The published tables with our runs in them."""

from collections.abc import Mapping, Sequence

from hm3_jax.objective.metric_table import label_of
from hm3_jax.reporting.published import (
    Published,
    PublishedExperiment,
    PublishedTable,
    load_published,
)
from hm3_jax.reporting.records import DataSet, Run
from hm3_jax.reporting.release_output import TestedRun
from hm3_jax.reporting.run_tables import MARKS_NOTE, metric_cells
from hm3_jax.reporting.tables import Cell, Row, Table

LAYOUTS = tuple(load_published().layouts)
"""Names of the published tables."""

_DECIMALS = 1  # as published
_NEAR = 3  # settings in which a run differs that a note still names


def layout_table(
    layout: str,
    data: DataSet,
    runs: Sequence[Run],
    tests: Mapping[Run, TestedRun],
    name: str,
) -> Table | None:
    """A published table for the runs of one data set.

    Args:
        layout: one of `LAYOUTS`.
        data: that all the runs are of.
        runs: with a finished try.
        tests: of those whose tests could be read.
        name: file stem.

    Returns:
        The table; None where no run repeats any of its experiments.
    """
    published = load_published()
    wanted = published.layouts[layout]
    chosen = [_choose(published, runs, e) for e in wanted.experiments]
    if not any(chosen):
        return None
    same = published.is_of(data, wanted.experiments[0].data_set)
    columns = [
        (head, experiment, by_strategy, metric)
        for head, experiment, by_strategy in zip(
            wanted.heads, wanted.experiments, chosen, strict=True
        )
        for metric in experiment.metrics
    ]
    ours = [
        metric_cells(list(by_strategy.values()), tests, metric)
        for _, _, by_strategy, metric in columns
    ]
    rows = []
    for strategy in wanted.experiments[0].results:
        mine, theirs, apart = [], [], []
        for (_, experiment, by_strategy, metric), cells in zip(
            columns, ours, strict=True
        ):
            run = by_strategy.get(strategy)
            cell = cells[run] if run else Cell()
            mine.append(_shorter(cell))
            number = experiment.value(strategy, metric)
            theirs.append(Cell(number, decimals=_DECIMALS))
            difference = None
            if cell.value is not None and number is not None:
                difference = cell.value - number
            apart.append(Cell(difference, decimals=_DECIMALS, signed=True))
        rows.append(Row((strategy, "ours"), tuple(mine), first=True))
        rows.append(Row(("", "published"), tuple(theirs)))
        if same:
            rows.append(Row(("", "difference"), tuple(apart)))
    return Table(
        name=name,
        title=f"{wanted.title}: {data}",
        label_heads=("strategy", ""),
        columns=tuple((head, label_of(metric)) for head, _, _, metric in columns),
        rows=tuple(rows),
        notes=tuple(_notes(published, wanted, data, runs, chosen, tests)),
    )


def _shorter(cell: Cell) -> Cell:
    return Cell(cell.value, cell.deviation, cell.mark, cell.text, _DECIMALS)


def _choose(
    published: Published, runs: Sequence[Run], experiment: PublishedExperiment
) -> dict[str, Run]:
    """The run that repeats an experiment, by strategy: that of most finished tries."""
    chosen: dict[str, Run] = {}
    for run in runs:
        if published.repeats(run, experiment):
            strategy = str(published.label(run))
            before = chosen.get(strategy)
            if before is None or len(run.tries) > len(before.tries):
                chosen[strategy] = run
    return chosen


def _notes(
    published: Published,
    layout: PublishedTable,
    data: DataSet,
    runs: Sequence[Run],
    chosen: Sequence[Mapping[str, Run]],
    tests: Mapping[Run, TestedRun],
) -> list[str]:
    data_set = layout.experiments[0].data_set
    same = published.is_of(data, data_set)
    notes = [MARKS_NOTE]
    if same:
        notes.append(f"Published: {published.source}. Difference: ours − published.")
        notes += _size_notes(published, data_set, chosen, tests)
    else:
        notes.append(
            f"Our runs are of {data}, the published numbers of {data_set} with real "
            "features. They cannot be compared, so no difference is shown. Published: "
            f"{published.source}."
        )
    shown = {run.name: run for by_strategy in chosen for run in by_strategy.values()}
    for run in shown.values():
        if run.state:
            notes.append(f"{run.name}: {run.state}.")
    if any("cnn1d" in run.strategy for run in shown.values()):
        notes.append(
            "The published 1dCNN rows come from a release that masks channels where "
            "padded steps were meant; ours mask steps (cnn1d_masking=channels trains "
            "like the release)."
        )
    again, apart = [], []
    for run in runs:
        if run.name in shown:
            continue
        found = [
            published.departures(run, e)
            for e in layout.experiments
            if published.label(run) in e.results
            and run.strategy.endswith("_video") == e.videos
        ]
        if [] in found:
            again.append(run.name)
        elif found and not published.is_published(run):
            nearest = min(found, key=len)
            if len(nearest) <= _NEAR:
                apart.append(f"{run.name} ({', '.join(nearest)})")
    if again:
        notes.append(
            f"Further runs with the same settings, not shown here: {', '.join(again)}."
        )
    if apart:
        notes.append(
            f"Not trained as published, so not shown here: {'; '.join(apart)}."
        )
    return notes


def _size_notes(
    published: Published,
    data_set: str,
    chosen: Sequence[Mapping[str, Run]],
    tests: Mapping[Run, TestedRun],
) -> list[str]:
    expected = published.data_sets[data_set]["test_museums"]
    sizes = {
        len(tests[run].ids)
        for by_strategy in chosen
        for run in by_strategy.values()
        if run in tests
    }
    if expected is None or sizes <= {expected}:
        return []
    found = ", ".join(map(str, sorted(sizes)))
    return [
        f"Ours were tested on {found} museums, the published ones on {expected}: their "
        "rankings have different lengths, so the differences mean little."
    ]
