"""What all figures share: sizes for print, colours, files."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hm3_jax.reporting.records import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE = 0.14
"""Height in inches of a line of text."""

WIDTH = 7.0
"""Width in inches of a figure over two columns of a paper."""

# Okabe and Ito (2008): told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Tol's "muted", for up to nine themes; grey for the rest.
THEME_COLOURS = (
    "#332288",
    "#88CCEE",
    "#44AA99",
    "#117733",
    "#999933",
    "#DDCC77",
    "#CC6677",
    "#882255",
    "#AA4499",
)
REST_COLOUR = "#BBBBBB"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":")

# Characters that fit above half of a figure, and beside its rows.
_NAME_WIDTH = 30

_DOTS = 300  # an inch of a PNG

_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "legend.frameon": False,
    # Names of runs are no formulas, whatever dollars they have.
    "text.parse_math": False,
    # Text that can be searched and edited.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    # The same file from the same data.
    "svg.hashsalt": "hm3_jax",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Drawing:
    """A figure with what it shows.

    Attributes:
      name: file stem.
      title: of the figure, for pages.
      caption: what is drawn, in sentences.
      figure: drawn, in inches of print.
      heads: columns of the data.
      rows: of the data.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    heads: tuple[str, ...]
    rows: Sequence[Sequence[Any]]

    def write(self, folder: Path) -> None:
        """Writes NAME.pdf, .svg, .png (300 dots an inch) and .csv, once."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.backends.backend_pdf import FigureCanvasPdf
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        # Laid out once, and drawn once a file: savefig draws everything twice.
        self.figure.dpi = _DOTS
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")
        stem = str(folder / self.name)
        FigureCanvasAgg(self.figure).print_png(f"{stem}.png")
        # Without dates: the same file from the same data.
        FigureCanvasPdf(self.figure).print_pdf(
            f"{stem}.pdf", metadata={"CreationDate": None}
        )
        FigureCanvasSVG(self.figure).print_svg(f"{stem}.svg", metadata={"Date": None})
        with (folder / f"{self.name}.csv").open(
            "w", newline="", encoding="utf-8"
        ) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.heads)
            writer.writerows(self.rows)


@contextmanager
def settings() -> Iterator[None]:
    """Within this, figures are drawn and written.

    Matrices are multiplied on one thread: they are small, and the threads that wait for
    the next one would take the time of those that draw.

    Raises:
      ModuleNotFoundError: matplotlib or scikit-learn is not installed.
    """
    try:
        from matplotlib import rc_context
        from threadpoolctl import threadpool_limits
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "figures need matplotlib and scikit-learn: pip install "
            "'hm3_jax[analysis]', or --nofigures"
        ) from None
    with rc_context(_SETTINGS), threadpool_limits(1, user_api="blas"):
        yield


def new_figure(
    height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, Any]:
    """A figure of `WIDTH` and its axes, an array (rows, columns)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as NewFigure

    figure = NewFigure(figsize=(WIDTH, height), layout="constrained")
    # No pyplot: it would keep figures and ask for a display.
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def short_names(runs: Sequence[Run], labels: Sequence[str]) -> list[str]:
    """What legends call runs: only what tells them apart.

    Args:
      runs: to name.
      labels: of their strategies.
    """
    experiments = [wrapped(run.experiment) for run in runs]
    strategies = [wrapped(label) for label in labels]
    if len(set(experiments)) == 1 and len(set(labels)) == len(runs):
        return strategies
    if len(set(labels)) == 1 and len(set(experiments)) == len(runs):
        return experiments
    return [f"{a}\n{b}" for a, b in zip(experiments, strategies, strict=True)]


def most_lines(names: Iterable[str]) -> int:
    """Lines of the name that has most."""
    return max(name.count("\n") + 1 for name in names)


def wrapped(name: str, width: int = _NAME_WIDTH) -> str:
    r"""A name in lines of at most so many characters.

    Lines end after a space, slash or underscore where there is one.

    >>> wrapped("CN_TC_2nd_w_0.05", 8)
    'CN_TC_\n2nd_w_\n0.05'
    """
    lines = []
    while len(name) > width:
        ends = [name.rfind(letter, 0, width) + 1 for letter in " /_"]
        end = max(ends) or width
        lines.append(name[:end].rstrip())
        name = name[end:]
    return "\n".join([*lines, name])
