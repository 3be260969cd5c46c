"""A report as files."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from hm3_jax import __version__
from hm3_jax.files.durable import whole_or_as_before
from hm3_jax.files.json_files import json_text
from hm3_jax.files.lines import write_text
from hm3_jax.objective.metric_table import KEYS
from hm3_jax.reporting.render import (
    comma_separated,
    html_report,
    latex,
    markdown,
    markdown_report,
)
from hm3_jax.reporting.tables import Report

TABLES, FIGURES = "tables", "figures"
"""Folders of a report."""

_MARKER = "report.json"
_WRITTEN = {_MARKER, "report.html", "report.md", TABLES, FIGURES}


@contextlib.contextmanager
def replaced(output: Path, runs: Sequence[Path]) -> Iterator[Path]:
    """A folder to write a report to, which takes its place when it is whole.

    Whatever goes wrong, what was there before still is, and nothing else.

    Args:
        output: where the report is to be.
        runs: folders that are read, which must not be in what is replaced.

    Raises:
        FileExistsError: something else than a report is there.
        OSError: nothing can be made there.
        ValueError: the runs, or the folder one is in, would be replaced.
    """
    where = output.resolve()
    _check(output, where, runs)
    with whole_or_as_before(where) as partial:
        for part in (TABLES, FIGURES):
            (partial / part).mkdir()
        yield partial


def _check(output: Path, where: Path, runs: Sequence[Path]) -> None:
    for folder in (Path.cwd(), *(folder.resolve() for folder in runs)):
        if folder == where or where in folder.parents:
            raise ValueError(
                f"{output}: expected a folder that can be replaced, found one that "
                f"holds {folder}"
            )
    if where.is_dir():
        others = sorted({path.name for path in where.iterdir()} - _WRITTEN)
        whole = (where / _MARKER).is_file() or not any(where.iterdir())
        if others or not whole:
            raise FileExistsError(
                f"{output}: expected no such folder, an empty one or a report to "
                f"replace, found {others[0] if others else 'a part of one'}"
            )
        return
    for path in (where, *where.parents):
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"{path}: expected a folder, found a file")


def write_report(report: Report, partial: Path) -> None:
    """Writes all of a report but the figures, which are there."""
    for table in report.tables:
        stem = partial / TABLES / table.name
        write_text(stem.with_name(f"{table.name}.md"), markdown(table))
        write_text(stem.with_name(f"{table.name}.tex"), latex(table))
    for table in (*report.tables, *report.spreadsheets):
        write_text(partial / TABLES / f"{table.name}.csv", comma_separated(table))
    if not report.drawings:
        (partial / FIGURES).rmdir()
    write_text(partial / "report.md", markdown_report(report, FIGURES))
    write_text(partial / "report.html", html_report(report, partial / FIGURES))
    write_text(partial / _MARKER, json_text(_facts(report)))


def _facts(report: Report) -> dict[str, object]:
    return {
        "made": report.date.isoformat(),
        "version": __version__,
        "problems": list(report.problems),
        "runs": [
            {
                "name": run.name,
                "folder": str(run.folder),
                "date": run.date,
                "data_set": dataclasses.asdict(run.data),
                "settings": dict(run.settings),
                "strategy": dict(run.config),
                "tries": [t.number for t in run.tries],
                "asked": run.asked,
                "state": run.state or "finished",
                "mean": {m: run.mean(m) for m in KEYS},
                "std": {m: run.deviation(m) for m in KEYS},
            }
            for run in report.runs
        ],
    }
