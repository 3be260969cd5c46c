"""What all figures share: sizes for print, colours, files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hm3_jax.files.csv_files import write_csv
from hm3_jax.files.errors import naming
from hm3_jax.files.extras import how_to_install
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

_LEGEND_COLUMNS = 6
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

        shown = self.figure.dpi
        # Laid out once, and drawn once a file: savefig draws everything twice.
        self.figure.dpi = _DOTS
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")
        png, pdf, svg = (
            folder / f"{self.name}.{form}" for form in ("png", "pdf", "svg")
        )
        with naming(png):
            FigureCanvasAgg(self.figure).print_png(png)
        # Without dates: the same file from the same data.
        with naming(pdf):
            FigureCanvasPdf(self.figure).print_pdf(pdf, metadata={"CreationDate": None})
        with naming(svg):
            FigureCanvasSVG(self.figure).print_svg(svg, metadata={"Date": None})
        # Each form has its own; a notebook shows the figure as it was.
        self.figure.dpi = shown
        write_csv(folder / f"{self.name}.csv", [self.heads, *self.rows])


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
            "figures need matplotlib and scikit-learn: "
            f"{how_to_install('analysis')}, or --nofigures"
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


def shade(colour: str, number: int) -> str:
    """A colour as it is, darker or lighter, for what shares its hue.

    >>> shade("#0072B2", 0), shade("#0072B2", 1), shade("#000000", 1)
    ('#0072b2', '#004a74', '#737373')
    """
    # Black gets lighter instead, and what comes third too.
    toward = 255 if number > 1 or colour == "#000000" else 0
    part = (0.0, 0.35 if toward == 0 else 0.45)[min(number, 1)]
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    mixed = [round((1 - part) * value + part * toward) for value in parts]
    return "#" + "".join(f"{value:02x}" for value in mixed)


def legend_below(figure: Figure, entries: Sequence[tuple[str, Any]]) -> None:
    """A legend below all axes, in as many columns as there is room for.

    The figure grows by its lines.

    Args:
        figure: to add it to.
        entries: (label, handle) of each; labels may have several lines.
    """
    labels = [label for label, _ in entries]
    for columns in range(min(_LEGEND_COLUMNS, len(labels)), 0, -1):
        legend = figure.legend(
            [handle for _, handle in entries],
            [" "] * len(labels),
            loc="outside lower center",
            ncols=columns,
        )
        # Matplotlib leaves out labels that begin with "_" where it is told them.
        for text, label in zip(legend.get_texts(), labels, strict=True):
            text.set_text(label)
        if columns == 1 or legend.get_window_extent().width < WIDTH * figure.dpi:
            break
        legend.remove()
    lines = -(-len(labels) // columns) * most_lines(labels)
    figure.set_size_inches(WIDTH, figure.get_figheight() + LINE * lines)


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


def shortened(name: str, width: int) -> str:
    """A name in at most so many characters.

    >>> shortened("impressionism", 8), shortened("genre", 8)
    ('impress…', 'genre')
    """
    return name if len(name) <= width else f"{name[: width - 1]}…"


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
