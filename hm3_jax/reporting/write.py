"""A report as files."""

import dataclasses
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from hm3_jax.reporting.figures.style import Drawing
from hm3_jax.reporting.page import page
from hm3_jax.reporting.records import METRICS, Run
from hm3_jax.reporting.render import comma_separated, latex, markdown
from hm3_jax.reporting.tables import Table

TABLES, FIGURES = "tables", "figures"
"""Folders of a report."""

_MARKER = "report.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a report says.

    Attributes:
      runs: all that were found.
      tables: in order.
      spreadsheets: tables that are written as CSV only.
      drawings: in order.
      problems: what was not used, one line each.
    """

    runs: Sequence[Run]
    tables: Sequence[Table]
    spreadsheets: Sequence[Table]
    drawings: Sequence[Drawing]
    problems: Sequence[str]


def check_output(output: Path) -> None:
    """Refuses to replace what is no report.

    Raises:
      FileExistsError: there is something else.
    """
    if output.is_dir():
        if (output / _MARKER).is_file() or not any(output.iterdir()):
            return
        raise FileExistsError(
            f"{output}: expected no such folder, an empty one or a report to replace, "
            "found other things"
        )
    if output.exists():
        raise FileExistsError(f"{output}: expected a folder, found a file")


def begin(output: Path) -> Path:
    """Makes the folder that a report is written to before it is moved to its place."""
    partial = output.with_name(f".{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for part in (TABLES, FIGURES):
        (partial / part).mkdir(parents=True)
    return partial


def finish(report: Report, partial: Path, output: Path) -> None:
    """Writes all but the figures, which are there, and moves the folder."""
    for table in report.tables:
        stem = partial / TABLES / table.name
        stem.with_name(f"{table.name}.md").write_text(markdown(table))
        stem.with_name(f"{table.name}.tex").write_text(latex(table))
    for table in (*report.tables, *report.spreadsheets):
        path = partial / TABLES / f"{table.name}.csv"
        path.write_text(comma_separated(table))
    if not report.drawings:
        (partial / FIGURES).rmdir()
    count = len(report.runs)
    title = f"Report on {count} run{'' if count == 1 else 's'}"
    (partial / "report.md").write_text(_markdown_report(title, report))
    figures = [
        (d.title, d.caption, partial / FIGURES / f"{d.name}.png")
        for d in report.drawings
    ]
    (partial / "report.html").write_text(
        page(title, report.tables, figures, report.problems)
    )
    # Last: it says that the folder is a whole report.
    (partial / _MARKER).write_text(json.dumps(_facts(report), indent=1) + "\n")
    if output.exists():
        shutil.rmtree(output)
    os.replace(partial, output)


def _markdown_report(title: str, report: Report) -> str:
    parts = [f"# {title}\n"]
    if report.problems:
        lines = "".join(f"* {line}\n" for line in report.problems)
        parts.append(f"Not used, or not complete:\n\n{lines}")
    parts += [markdown(table) for table in report.tables]
    parts += [
        f"## {d.title}\n\n![{d.title}]({FIGURES}/{d.name}.png)\n\n{d.caption}\n"
        for d in report.drawings
    ]
    return "\n".join(parts)


def _facts(report: Report) -> dict[str, object]:
    return {
        "problems": list(report.problems),
        "runs": [
            {
                "name": run.name,
                "folder": str(run.folder),
                "data_set": dataclasses.asdict(run.data),
                "tries": [t.number for t in run.tries],
                "asked": run.asked,
                "state": run.state or "finished",
                "mean": {m: run.mean(m) for m in METRICS},
                "std": {m: run.deviation(m) for m in METRICS},
            }
            for run in report.runs
        ],
    }
