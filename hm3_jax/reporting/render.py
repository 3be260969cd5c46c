"""Tables as Markdown, LaTeX and CSV."""

import csv
import io

from hm3_jax.reporting.tables import Cell, Table

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
    lines = [f"## {table.title}", "", _pipes(heads)]
    lines.append("|" + "---|" * labels + "---:|" * len(table.columns))
    for row in table.rows:
        shown = [*row.labels, *(_markdown_cell(cell) for cell in row.cells)]
        lines.append(_pipes(shown))
    lines += [line for note in table.notes for line in ("", note)]
    return "\n".join(lines) + "\n"


def latex(table: Table) -> str:
    """A table as LaTeX for the package booktabs."""
    width = len(table.label_heads)
    columns = "l" * width + "r" * len(table.columns)
    lines = [
        r"% needs \usepackage{booktabs,graphicx}",
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{_escaped(table.title)}}}",
        rf"\label{{tab:{table.name}}}",
        # As wide as the page where that is narrower: the weights take 16 columns.
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
    ]
    if any(group for group, _ in table.columns):
        lines += _latex_groups(table, width)
    heads = [*table.label_heads, *(head for _, head in table.columns)]
    lines += [_ampersands([_escaped(head) for head in heads]), r"\midrule"]
    for number, row in enumerate(table.rows):
        if row.first and number:
            lines.append(r"\addlinespace")
        cells = [_escaped(label) for label in row.labels]
        lines.append(_ampersands(cells + [_latex_cell(cell) for cell in row.cells]))
    lines += [r"\bottomrule", r"\end{tabular}}"]
    lines += [rf"\par\footnotesize {_escaped(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


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
    return "| " + " | ".join(text.replace("|", r"\|") for text in texts) + " |"


def _markdown_cell(cell: Cell) -> str:
    shown = f"{cell.number} ± {cell.spread}" if cell.spread else cell.number
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
