"""A report as one HTML page that needs no other file."""

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

from hm3_jax.reporting.tables import Cell, Row, Table

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, p, li, figcaption { overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; font-size: 1.15rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem;
  font-variant-numeric: tabular-nums;
  border-top: 2px solid; border-bottom: 2px solid; }
th, td { padding: 0.2rem 0.6rem; white-space: nowrap; }
th { text-align: left; border-bottom: 1px solid; }
th.number, td.number { text-align: right; }
td.long { white-space: normal; min-width: 9rem; max-width: 15rem; }
th.group { text-align: center; }
tr.first td { border-top: 1px solid #ccc; }
.spread, .note { color: #555; }
.note, figcaption { font-size: 0.85rem; max-width: 60rem; }
.problems { background: #fff4e5; padding: 0.6rem 1.2rem; }
figure { margin: 1.5rem 0; } img { max-width: 100%; height: auto; }
summary { cursor: pointer; }
@media print { body { max-width: none; } .scroll { overflow: visible; } }
"""

# Rows beyond which a table is folded.
_LONG = 60
# Characters of a label that stays on one line.
_SHORT = 18


def page(
    title: str,
    tables: Sequence[Table],
    figures: Sequence[tuple[str, str, Path]],
    problems: Sequence[str],
) -> str:
    """The page.

    Args:
      title: of the page.
      tables: in order.
      figures: (title, caption, PNG file), whose pictures go into the page.
      problems: what was not used, one line each.
    """
    parts = [f"<h1>{html.escape(title)}</h1>"]
    if problems:
        items = "".join(f"<li>{html.escape(line)}</li>" for line in problems)
        parts.append(
            '<div class="problems"><strong>Not used, or not complete:</strong>'
            f"<ul>{items}</ul></div>"
        )
    parts += [_table(table) for table in tables]
    parts += [_figure(*figure) for figure in figures]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _table(table: Table) -> str:
    head = ""
    if any(group for group, _ in table.columns):
        groups = "".join(
            f'<th class="group" colspan="{size}">{html.escape(group)}</th>'
            for group, size in table.groups
        )
        head += f'<tr><th colspan="{len(table.label_heads)}"></th>{groups}</tr>'
    heads = "".join(f"<th>{html.escape(text)}</th>" for text in table.label_heads)
    heads += "".join(
        f'<th class="number">{html.escape(text)}</th>' for _, text in table.columns
    )
    body = "".join(_row(row) for row in table.rows)
    shown = (
        f'<div class="scroll"><table><thead>{head}<tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
    if len(table.rows) > _LONG:
        shown = f"<details><summary>{len(table.rows)} rows</summary>{shown}</details>"
    notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in table.notes)
    return f"<section><h2>{html.escape(table.title)}</h2>{shown}{notes}</section>"


def _row(row: Row) -> str:
    cells = "".join(map(_label, row.labels))
    cells += "".join(f'<td class="number">{_cell(cell)}</td>' for cell in row.cells)
    kind = ' class="first"' if row.first else ""
    return f"<tr{kind}>{cells}</tr>"


def _label(label: str) -> str:
    """A label's cell; names of runs are long, and may break at slash and underscore."""
    text = html.escape(label)
    if len(label) <= _SHORT:
        return f"<td>{text}</td>"
    breakable = re.sub("([/_])", r"\1<wbr>", text)
    return f'<td class="long">{breakable}</td>'


def _cell(cell: Cell) -> str:
    shown = html.escape(cell.number)
    if cell.spread:
        shown += f' <span class="spread">± {cell.spread}</span>'
    if cell.mark == "best":
        return f"<strong>{shown}</strong>"
    return f"{shown} ≈" if cell.mark == "level" else shown


def _figure(title: str, caption: str, picture: Path) -> str:
    data = base64.b64encode(picture.read_bytes()).decode("ascii")
    return (
        f"<figure><h2>{html.escape(title)}</h2>"
        f'<img alt="{html.escape(title)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
