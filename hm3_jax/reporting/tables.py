"""Tables, before they become Markdown, LaTeX, CSV or HTML."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

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
    """

    value: float | None = None
    deviation: float | None = None
    mark: Mark = ""
    text: str = ""
    decimals: int = 2
    signed: bool = False

    @property
    def number(self) -> str:
        """The number without its spread, or the words; a dash where there is none."""
        if self.value is None:
            return self.text or "–"
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
    def groups(self) -> list[tuple[str, int]]:
        """Neighbouring columns of one group: (group, number of columns)."""
        return runs_of([group for group, _ in self.columns])


def runs_of(names: Sequence[str]) -> list[tuple[str, int]]:
    """Neighbours that are equal, with how many they are.

    >>> runs_of(["a", "a", "b"])
    [('a', 2), ('b', 1)]
    """
    found: list[tuple[str, int]] = []
    for name in names:
        if found and found[-1][0] == name:
            found[-1] = (name, found[-1][1] + 1)
        else:
            found.append((name, 1))
    return found
