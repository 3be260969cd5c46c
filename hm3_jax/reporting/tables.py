"""Tables, before they become Markdown, LaTeX, CSV or HTML."""

import dataclasses
import datetime
import itertools
from collections.abc import Sequence
from typing import Literal

from hm3_jax import __version__
from hm3_jax.files.words import counted
from hm3_jax.reporting.figures.style import Drawing
from hm3_jax.reporting.records import Run

# Characters of a label beyond which LaTeX breaks it.
_IN_LINES = 50

Mark = Literal["", "best", "level"]


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """A number, possibly with its spread, or some words instead.

    Attributes:
        value: mean, or the only number; None where there is none.
        deviation: standard deviation over tries; None where there is none.
        mark: "best" of its column, or "level" with the best: not significantly worse.
        text: shown instead of a number.
        decimals: shown of the number.
        signed: show a plus as well.
        least: what is smaller is shown as "< LEAST", so that no p is shown as 0; None
            to show all numbers.
    """

    value: float | None = None
    deviation: float | None = None
    mark: Mark = ""
    text: str = ""
    decimals: int = 2
    signed: bool = False
    least: float | None = None

    @property
    def number(self) -> str:
        """The number without its spread, or the words; a dash where there is none."""
        if self.value is None:
            return self.text or "–"
        if self.least is not None and self.value < self.least:
            return f"< {self.least:.{self.decimals}f}"
        sign = "+" if self.signed else ""
        return f"{self.value:{sign}.{self.decimals}f}".replace("-", "−")

    @property
    def spread(self) -> str:
        """The spread, as text; empty where there is none."""
        if self.value is None or self.deviation is None:
            return ""
        return f"{self.deviation:.{self.decimals}f}"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A row: labels, then cells.

    Attributes:
        labels: of the row.
        cells: one a column.
        first: begins a group of rows; a rule is drawn above it.
    """

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]
    first: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        name: file stem.
        title: above it.
        label_heads: heads of the label columns.
        columns: (group, head) of every other column; neighbours of one group share it.
        rows: in order.
        notes: sentences below it.
    """

    name: str
    title: str
    label_heads: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    @property
    def spans(self) -> list[tuple[str, int, int]]:
        """Neighbouring columns of one group: (group, first, last), columns from 1.

        Empty where no column has a group.
        """
        spans, column = [], len(self.label_heads)
        for group, columns in itertools.groupby(group for group, _ in self.columns):
            size = len(list(columns))
            spans.append((group, column + 1, column + size))
            column += size
        return spans if any(group for group, _ in self.columns) else []

    @property
    def label_columns(self) -> str:
        """LaTeX's letters for the label columns; long labels are set in lines."""
        longest = [
            max((len(row.labels[place]) for row in self.rows), default=0)
            for place in range(len(self.label_heads))
        ]
        return "".join(
            r"p{0.3\textwidth}" if length > _IN_LINES else "l" for length in longest
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a report says.

    Attributes:
        runs: all that were found.
        tables: in order.
        spreadsheets: tables that are written as CSV only.
        drawings: in order.
        problems: what was not used, one line each.
        date: on which it was made.
    """

    runs: Sequence[Run]
    tables: Sequence[Table]
    spreadsheets: Sequence[Table]
    drawings: Sequence[Drawing]
    problems: Sequence[str]
    date: datetime.date

    @property
    def title(self) -> str:
        """Its title."""
        return f"Report on {counted(len(self.runs), 'run')}"

    @property
    def parts(self) -> list[Table | Drawing]:
        """Tables and figures in order."""
        return [*self.tables, *self.drawings]

    @property
    def made(self) -> str:
        """When it was made, and of what version."""
        return f"Made on {self.date.isoformat()} by hm3_jax {__version__}."
