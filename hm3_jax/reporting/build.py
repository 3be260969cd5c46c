"""Makes a report: reads runs, computes, draws, writes."""

import dataclasses
import datetime
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from hm3_jax.files.words import counted
from hm3_jax.objective.metric_table import KEYS
from hm3_jax.reporting import run_tables
from hm3_jax.reporting.choose import MOST_SHOWN, choose_shown, find_runs_named
from hm3_jax.reporting.draw import draw_all
from hm3_jax.reporting.figures.lengths import draw_lengths
from hm3_jax.reporting.figures.style import settings
from hm3_jax.reporting.layouts import LAYOUTS, layout_table
from hm3_jax.reporting.length_tables import (
    Curve,
    Searched,
    curves_of,
    length_table,
)
from hm3_jax.reporting.read_runs import find_runs
from hm3_jax.reporting.read_tests import Wanted, read_all
from hm3_jax.reporting.records import DataSet, Run
from hm3_jax.reporting.release_output import TestedRun
from hm3_jax.reporting.significance import best_of, compare, same_museums
from hm3_jax.reporting.tables import Report, Table
from hm3_jax.reporting.write import FIGURES, replaced, write_report

_COMPARED = ("t2s_R@1", "t2s_mAP", "t2s_mAP_by_class")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReportConfig:
    """What to report.

    Attributes:
        runs: folders that hold run folders.
        output: folder to write.
        layouts: published tables to make, some of `LAYOUTS`.
        compare: names of two runs to compare in all metrics, in one text with commas or
            in several; empty for none.
        show: names of the runs that figures show, likewise; empty to choose.
        figures: draw figures.
        evaluations: folders of evaluations by length of the query, to report beside
            the runs.
    """

    runs: tuple[Path, ...]
    output: Path
    layouts: tuple[str, ...] = LAYOUTS
    compare: tuple[str, ...] = ()
    show: tuple[str, ...] = ()
    figures: bool = True
    evaluations: tuple[Path, ...] = ()


def make_report(config: ReportConfig, say: Callable[[str], None]) -> Report:
    """Reads runs, and writes tables and figures.

    Args:
        config: what to report.
        say: told in one line each what is not used, as soon as it is known.

    Raises:
        FileExistsError: the output folder holds something that is no report.
        FileNotFoundError: a folder of runs or evaluations does not exist.
        ValueError: no run has a finished try, a name means none, or a folder of
            evaluations has none.
    """
    # First: what cannot be written is known before minutes of reading.
    with replaced(config.output, (*config.runs, *config.evaluations)) as partial:
        return _make(config, partial, say)


def _make(config: ReportConfig, partial: Path, say: Callable[[str], None]) -> Report:
    problems: list[str] = []

    def note(line: str) -> None:
        if line not in problems:
            problems.append(line)
            say(line)

    runs = find_runs(config.runs, note)
    finished = [run for run in runs if run.tries]
    if not finished:
        raise ValueError(
            f"{', '.join(map(str, config.runs))}: expected a run with a finished try, "
            f"found {len(runs)} without"
        )
    compared = find_runs_named(config.compare, finished, "compare")
    if len(compared) not in (0, 2):
        raise ValueError(
            f"--compare: expected two runs, found {len(compared)}: "
            f"{','.join(config.compare)}"
        )
    curves = curves_of(finished, config.evaluations, note)
    groups: dict[DataSet, list[Run]] = {}
    for run in finished:
        groups.setdefault(run.data, []).append(run)
    if len(groups) > 1:
        note(
            "runs of several data sets or features, in tables of their own: "
            + "; ".join(
                f"{data}: {counted(len(of), 'run')}" for data, of in groups.items()
            )
        )
    shown = _shown(config, finished, groups)
    wanted = [
        Wanted(run, run in compared, config.figures and run in shown)
        for run in finished
    ]
    tests = read_all(wanted, note)
    stem = _stems(groups)
    tables = list(_tables(config, runs, groups, tests, compared, stem, note))
    tables += [
        length_table(searched, of_searched, name)
        for name, searched, of_searched in _named(curves)
    ]
    spreadsheets = [
        run_tables.every_metric(data, _of(runs, data), stem("all_metrics", data))
        for data in groups
    ]
    drawings = []
    if config.figures:
        with settings():
            by_length = (
                draw_lengths(searched, of_searched, shown, name)
                for name, searched, of_searched in _named(curves)
            )
            of_runs = draw_all(groups, shown, tests, stem, note)
            for drawing in itertools.chain(by_length, of_runs):
                drawing.write(partial / FIGURES)
                drawings.append(drawing)
    today = datetime.date.today()
    report = Report(runs, tables, spreadsheets, drawings, problems, today)
    write_report(report, partial)
    return report


def _shown(
    config: ReportConfig,
    finished: Sequence[Run],
    groups: Mapping[DataSet, Sequence[Run]],
) -> list[Run]:
    if not config.show:
        return choose_shown(max(groups.values(), key=len))
    shown = find_runs_named(config.show, finished, "show")
    if len(shown) > MOST_SHOWN:
        raise ValueError(
            f"--show: expected at most {MOST_SHOWN} runs, found {len(shown)}"
        )
    for run in shown:
        if run.data != shown[0].data:
            raise ValueError(
                f"--show: expected runs of one data set, found {shown[0].name} on "
                f"{shown[0].data} and {run.name} on {run.data}"
            )
    return shown


def _named(
    curves: Mapping[Searched, Sequence[Curve]],
) -> Iterator[tuple[str, Searched, Sequence[Curve]]]:
    """What is drawn and listed by length, with a file stem."""
    for number, (searched, of_searched) in enumerate(curves.items(), 1):
        name = "query_length" if len(curves) < 2 else f"query_length_{number}"
        yield name, searched, of_searched


def _of(runs: Sequence[Run], data: DataSet) -> list[Run]:
    return [run for run in runs if run.data == data]


def _stems(groups: Mapping[DataSet, Sequence[Run]]) -> Callable[[str, DataSet], str]:
    """File stems: with the data set where there are several."""

    def stem(name: str, data: DataSet) -> str:
        if len(groups) < 2:
            return name
        plain = re.sub(r"\W+", "_", f"{data.name}_{data.kind}_{data.checksum[:8]}")
        return f"{name}_{plain}"

    return stem


def _tables(
    config: ReportConfig,
    runs: Sequence[Run],
    groups: Mapping[DataSet, Sequence[Run]],
    tests: Mapping[Run, TestedRun],
    compared: Sequence[Run],
    stem: Callable[[str, DataSet], str],
    say: Callable[[str], None],
) -> Iterator[Table]:
    for run in compared:
        if run not in tests:
            raise ValueError(f"--compare: the test of {run.name} cannot be read")
    if compared:
        a, b = compared
        found = compare([(a, b)], tests, KEYS)
        yield run_tables.significance_table(
            found, "comparison", f"Differences (A − B), A: {a}, B: {b}"
        )
    for layout in config.layouts:
        made = 0
        for data, of_data in groups.items():
            table = layout_table(layout, data, of_data, tests, stem(layout, data))
            if table is not None:
                made += 1
                yield table
        if not made and len(config.layouts) < len(LAYOUTS):
            say(f"layout {layout}: no run has the settings of its experiments")
    for data, of_data in groups.items():
        yield run_tables.all_runs(data, _of(runs, data), tests, stem("runs", data))
        yield run_tables.settings_table(data, _of(runs, data), stem("settings", data))
        pairs = _pairs_with_best(of_data, tests)
        found = [
            comparison
            for metric, of_metric in pairs.items()
            for comparison in compare(of_metric, tests, [metric])
        ]
        if found:
            yield run_tables.significance_table(
                found,
                stem("differences", data),
                f"Differences (A − B) to the best run of a metric on {data}",
            )


def _pairs_with_best(
    runs: Sequence[Run], tests: Mapping[Run, TestedRun]
) -> dict[str, list[tuple[Run, Run]]]:
    tested = [run for run in runs if run in tests]
    pairs = {}
    for metric in _COMPARED:
        best = best_of(tested, metric)
        if best is not None:
            pairs[metric] = [
                (run, best)
                for run in tested
                if run is not best and same_museums(tests[run], tests[best])
            ]
    return pairs
