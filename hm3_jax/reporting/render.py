"""Tables as Markdown, LaTeX and CSV."""

import csv
import io
import re
from collections.abc import Sequence

from hm3_jax.reporting.tables import Cell, Row, Table

# Rows of a page, with its caption and notes, in the usual 10 points.
_PAGE = 34
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
    heads = [*table.label_heads]
    heads += [f"{group}: {head}" if group else head for group, head in table.columns]
    labels = len(table.label_heads)
    lines = [f"## {literal(table.title)}", "", _pipes([*map(literal, heads)])]
    lines.append("|" + "---|" * labels + "---:|" * len(table.columns))
    for row in table.rows:
        shown = [*map(literal, row.labels), *map(_markdown_cell, row.cells)]
        lines.append(_pipes(shown))
    lines += [line for note in table.notes for line in ("", literal(note))]
    return "\n".join(lines) + "\n"


def latex(table: Table) -> str:
    """A table as LaTeX for the package booktabs; in parts where a page is too short."""
    parts = _pages(table.rows)
    return "\n".join(
        _latex_part(table, rows, number, number == len(parts) - 1)
        for number, rows in enumerate(parts)
    )


def _latex_part(table: Table, rows: Sequence[Row], number: int, last: bool) -> str:
    width = len(table.label_heads)
    columns = "l" * width + "r" * len(table.columns)
    caption = _escaped(table.title) + (" (continued)" if number else "")
    lines = [
        r"% needs \usepackage{booktabs,graphicx}",
        r"\begin{table*}",
        *([r"\addtocounter{table}{-1}"] if number else []),
        r"\centering",
        rf"\caption{{{caption}}}",
        *([] if number else [rf"\label{{tab:{table.name}}}"]),
        # As wide as the page where that is narrower: the weights take 16 columns.
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
    ]
    if any(group for group, _ in table.columns):
        lines += _latex_groups(table, width)
    heads = [*table.label_heads, *(head for _, head in table.columns)]
    lines += [_ampersands([_escaped(head) for head in heads]), r"\midrule"]
    for place, row in enumerate(rows):
        if row.first and place:
            lines.append(r"\addlinespace")
        cells = [_escaped(label) for label in row.labels]
        lines.append(_ampersands(cells + [_latex_cell(cell) for cell in row.cells]))
    lines += [r"\bottomrule", r"\end{tabular}}"]
    if last:
        lines += [rf"\par\footnotesize {_escaped(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


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
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(heads)
    for row in table.rows:
        values: list[str | float] = [*row.labels]
        for cell, has_spread in zip(row.cells, spread, strict=True):
            values.append(_plain(cell.value) or cell.text)
            if has_spread:
                values.append(_plain(cell.deviation))
        writer.writerow(values)
    return file.getvalue()


def _plain(value: float | None) -> str:
    # Ten digits are more than float32 scores have, and hide no rounding error.
    return "" if value is None else f"{value:.10g}"


def _pipes(texts: list[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def literal(text: str) -> str:
    """Text that Markdown shows as it is; underscores inside of words are left alone."""
    return re.sub(r"([\\`*|<\[\]]|\b_|_\b)", r"\\\1", text)


def _markdown_cell(cell: Cell) -> str:
    number = literal(cell.number)
    shown = f"{number} ± {cell.spread}" if cell.spread else number
    if cell.mark == "best":
        return f"**{shown}**"
    return f"{shown} ≈" if cell.mark == "level" else shown


def _latex_groups(table: Table, before: int) -> list[str]:
    heads, rules, column = [""] * before, [], before + 1
    for group, size in table.groups:
        heads.append(rf"\multicolumn{{{size}}}{{c}}{{{_escaped(group)}}}")
        if group:
            rules.append(rf"\cmidrule(lr){{{column}-{column + size - 1}}}")
        column += size
    return [_ampersands(heads), "".join(rules)]


def _latex_cell(cell: Cell) -> str:
    shown = _escaped(f"{cell.number} ± {cell.spread}" if cell.spread else cell.number)
    if cell.mark == "best":
        return rf"\textbf{{{shown}}}"
    return rf"{shown}\,$\approx$" if cell.mark == "level" else shown


def _ampersands(texts: list[str]) -> str:
    return " & ".join(texts) + r" \\"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
