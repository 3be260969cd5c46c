"""A report and its tables as HTML, Markdown, LaTeX and CSV."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hm3_jax.files.csv_files import csv_text
from hm3_jax.files.extras import how_to_install
from hm3_jax.reporting.tables import Cell, Report, Row, Table

if TYPE_CHECKING:
    from jinja2 import Environment

# Rows of a page of print, with its caption and notes, in the usual 10 points.
_PAGE = 34
# Rows beyond which a table is folded on the HTML page.
_LONG = 60
# Characters of a label that stays on one line there.
_SHORT = 18
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": r"$-$",
    "–": "--",
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "≥": r"$\geq$",
    "<": r"$<$",
    ">": r"$>$",
}


def markdown(table: Table) -> str:
    """A table as Markdown, with its title and notes."""
    return _template("table.md").render(table=table)


def markdown_report(report: Report, figures: str) -> str:
    """A report as Markdown, whose pictures lie in a folder beside it."""
    text = _template("report.md").render(report=report, figures=figures)
    return text.rstrip() + "\n"


def html_report(report: Report, figures: Path) -> str:
    """A report as one HTML page that needs no other file.

    Args:
        report: what it says.
        figures: folder with a PNG of each drawing.
    """
    pictures = {
        drawing.name: base64.b64encode(
            (figures / f"{drawing.name}.png").read_bytes()
        ).decode("ascii")
        for drawing in report.drawings
    }
    return _template("report.html").render(
        report=report, pictures=pictures, long=_LONG, short=_SHORT
    )


def latex(table: Table) -> str:
    """A table as LaTeX for the package booktabs; in parts where a page is too short."""
    heads = [*table.label_heads, *(head for _, head in table.columns)]
    return _template("table.tex").render(
        table=table, heads=heads, pages=_pages(table.rows)
    )


def _pages(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that fit a page, in order; groups of rows stay together if they can."""
    groups: list[list[Row]] = []
    for row in rows:
        if row.first or not groups:
            groups.append([])
        groups[-1].append(row)
    pages: list[list[Row]] = [[]]
    for group in groups:
        for start in range(0, len(group), _PAGE):
            part = group[start : start + _PAGE]
            if pages[-1] and len(pages[-1]) + len(part) > _PAGE:
                pages.append([])
            pages[-1] += part
    return pages


def comma_separated(table: Table) -> str:
    """A table as CSV: numbers in full, means and standard deviations apart."""
    spread = [
        any(row.cells[column].deviation is not None for row in table.rows)
        for column in range(len(table.columns))
    ]
    heads: list[str] = [*table.label_heads]
    for (group, head), has_spread in zip(table.columns, spread, strict=True):
        name = f"{group}: {head}" if group else head
        heads += [f"{name} mean", f"{name} std"] if has_spread else [name]
    rows: list[list[str]] = [heads]
    for row in table.rows:
        values = [*row.labels]
        for cell, has_spread in zip(row.cells, spread, strict=True):
            values.append(_plain(cell.value) or cell.text)
            if has_spread:
                values.append(_plain(cell.deviation))
        rows.append(values)
    return csv_text(rows)


def _plain(value: float | None) -> str:
    # Ten digits are more than float32 scores have, and hide no rounding error.
    return "" if value is None else f"{value:.10g}"


def literal(text: str) -> str:
    """Text that Markdown shows as it is; underscores inside of words are left alone."""
    return re.sub(r"([\\`*|<\[\]]|\b_|_\b)", r"\\\1", text)


def _template(name: str) -> Any:
    return _environment(name.endswith(".tex")).get_template(name)


@functools.cache
def _environment(latex: bool) -> Environment:
    try:
        import jinja2
        import markupsafe
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"reports need jinja2: {how_to_install('analysis')}"
        ) from None

    def breakable(label: str) -> markupsafe.Markup:
        """Names of runs are long, and may break where their parts end."""
        parts = re.split("(?<=[/_,=])", label)
        return markupsafe.Markup("<wbr>").join(parts)

    # LaTeX is full of braces.
    signs: dict[str, Any] = (
        {
            "block_start_string": "<%",
            "block_end_string": "%>",
            "variable_start_string": "<<",
            "variable_end_string": ">>",
            "comment_start_string": "<#",
            "comment_end_string": "#>",
        }
        if latex
        else {}
    )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **signs,
    )
    environment.filters |= {
        "breakable": breakable,
        "escaped": _escaped,
        "literal": literal,
        "marked_down": _markdown_cell,
        "typeset": _latex_cell,
    }
    return environment


def _markdown_cell(cell: Cell) -> str:
    number = literal(cell.number)
    shown = f"{number} ± {cell.spread}" if cell.spread else number
    if cell.mark == "best":
        return f"**{shown}**"
    return f"{shown} ≈" if cell.mark == "level" else shown


def _latex_cell(cell: Cell) -> str:
    shown = _escaped(f"{cell.number} ± {cell.spread}" if cell.spread else cell.number)
    if cell.mark == "best":
        return rf"\textbf{{{shown}}}"
    return rf"{shown}\,$\approx$" if cell.mark == "level" else shown


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
