"""CSV files, in which nothing is a formula to the spreadsheet that opens them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from hm3_jax.files.lines import write_text

# What a formula begins with in some spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\n")


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Rows as CSV; texts that would be formulas get an apostrophe in front.

    >>> print(csv_text([["=1+1", "-1.5", -1.5, "a,b"]]), end="")
    '=1+1,-1.5,-1.5,"a,b"
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([_cell(value) for value in row] for row in rows)
    return file.getvalue()


def write_csv(path: Path, rows: Iterable[Iterable[object]]) -> None:
    """Writes `csv_text` into a folder that is not whole yet; not flushed."""
    write_text(path, csv_text(rows))


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    # The writer quotes line ends of its own kind; another would begin a row.
    value = value.replace("\r\n", "\n").replace("\r", "\n")
    if not value.startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
