"""What all figures share: their style, literal names, legends below, and files with the same bytes every time."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from l2obench.reports.figures.styles import Style, marks_of
from l2obench.reports.formats import format_number, join_lines

# The text of a paper is 6.8 inches wide, and the type of its figures 9 points: neither is scaled where it is included.
WIDTH, HEIGHT = 6.8, 3.9
PNG_DPI = 200
# Values that span a larger factor are drawn on a logarithmic axis: on a linear one the small ones would lie on it.
LOG_RANGE = 10
# Colours of ratios end here. Without an end, one diverged cell would make all others look alike.
FURTHEST = 10.0
# Characters that fit on a line of each, at the font sizes of `theme`.
TITLE_SIGNS, LEGEND_SIGNS, TICK_SIGNS = 80, 96, 42
LEGEND_ROWS, LEGEND_ROW_HEIGHT = 3, 0.18
# Text and quiet lines; `l2obench.reports.figures.drawing` gives them other colours on a dark page.
INK, QUIET, GRID = "#1b2430", "#444c57", "#e3e4e8"
# A date in a file would make every report of the same results a different one.
SAVED_WITH: dict[str, dict[str, Any]] = {
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
    "png": {"dpi": PNG_DPI},
}
FORMATS = tuple(SAVED_WITH)


@contextmanager
def theme() -> Iterator[None]:
    """The settings under which figures are made and saved; the reader's own are left alone."""
    import seaborn  # takes a second, which a report without figures saves

    own: dict[Any, Any] = {
        # Without it the identifiers in an SVG are random, and the same figure has other bytes every time.
        "svg.hashsalt": "l2obench",
        # TrueType: many publishers refuse the Type 3 fonts that are matplotlib's default.
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "figure.constrained_layout.w_pad": 0.06,
        "figure.constrained_layout.h_pad": 0.06,
        "font.family": ["sans-serif"],
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
        "axes.labelsize": 9,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "text.color": INK,
        "axes.labelcolor": INK,
        "xtick.color": QUIET,
        "ytick.color": QUIET,
        "axes.edgecolor": QUIET,
        "axes.linewidth": 0.8,
        "grid.color": GRID,
        "legend.frameon": False,
        "axes.formatter.min_exponent": 3,
    }
    with matplotlib.rc_context({**seaborn.axes_style("whitegrid"), **own}):
        yield


def new_figure(title: str, height: float = HEIGHT, note: str = "") -> tuple[Figure, Axes]:
    """A figure that belongs to no global state: nothing to close, and no backend but Agg.

    Args:
        title: wrapped where it is long.
        height: inches, before a legend is added.
        note: what is drawn, in a quiet line below the title.
    """
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if title:
        # Over the whole figure: axes beside long labels are narrower than their title.
        figure.suptitle(literal(title, TITLE_SIGNS), x=0.01, ha="left", fontsize=10, fontweight="bold")
    axes.set_title(note, fontsize=8, fontweight="normal", color=QUIET)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def new_panels(rows: int, columns: int, width: float = 3.0, height: float = 3.0) -> tuple[Figure, Any]:
    """Make a figure of panels of one size.

    Args:
        rows: of panels.
        columns: of panels.
        width: of a panel, in inches.
        height: of a panel, in inches.

    Returns:
        The figure, and its axes `[rows][columns]`.
    """
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def ratio_colours() -> ScalarMappable:
    """Colours of ratios on a logarithmic scale, violet below 1 and orange above; beyond `FURTHEST` all are alike."""
    return ScalarMappable(LogNorm(1 / FURTHEST, FURTHEST, clip=True), matplotlib.colormaps["PuOr_r"])


def ink(colour: "NDArray[Any] | Sequence[float]") -> str:
    """What is read on a colour: black, or white where it is dark.

    Args:
        colour: red, green and blue in [0, 1]; more channels are ignored.

    Example:
        >>> ink([1.0, 1.0, 0.8]), ink([0.1, 0.1, 0.4])
        ('black', 'white')
    """
    return "white" if np.dot(colour[:3], (0.299, 0.587, 0.114)) < 0.5 else "black"


def format_two_digits(value: float) -> str:
    """Write a number as a small cell can hold it.

    Args:
        value: any number.

    Example:
        >>> format_two_digits(0.123), format_two_digits(1234.0)
        ('0.12', '1,200')
    """
    return format_number(float(f"{value:.2g}"))


def scale(set_scale: Any, values: Iterable[np.ndarray[Any, Any]]) -> None:
    """A logarithmic axis where all values are positive and span more than a factor of ten.

    Args:
        set_scale: `axes.set_xscale` or `axes.set_yscale`.
        values: all that is drawn along this axis; what is not finite does not count.
    """
    numbers = np.concatenate([np.ravel(part) for part in values] or [np.empty(0)])
    numbers = numbers[np.isfinite(numbers)]
    if numbers.size and numbers.min() > 0 and numbers.max() / numbers.min() > LOG_RANGE:
        set_scale("log")


def plot_line(axes: Axes, x: ArrayLike, y: ArrayLike, style: Style, **more: Any) -> None:
    """Draw a line of many points with a marker at six of them.

    Args:
        axes: where to draw.
        x: `[points]`.
        y: `[points]`.
        style: as `l2obench.reports.figures.styles.line_style` gives it.
        **more: arguments of `axes.plot`.
    """
    drawn = np.isfinite(np.asarray(x, dtype=np.float64)) & np.isfinite(np.asarray(y, dtype=np.float64))
    # matplotlib 3.10 cannot space markers along a line without a finite point.
    axes.plot(x, y, markevery=marks_of(style) if drawn.any() else None, **style, **more)


def legend(figure: Figure, entries: Sequence[tuple[str, Style]]) -> None:
    """A legend below the axes; a long one makes the figure higher instead of the axes lower.

    Args:
        figure: its height may change.
        entries: label and line style of each.
    """
    labels = [literal(label, LEGEND_SIGNS) for label, _ in entries]
    columns = 2 if len(labels) > 1 and max(map(len, labels)) <= LEGEND_SIGNS // 2 else 1
    rows = -(-sum(label.count("\n") + 1 for label in labels) // columns)
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW_HEIGHT * max(0, rows - LEGEND_ROWS))
    lines = [Line2D([], [], **style) for _, style in entries]
    figure.legend(lines, labels, loc="outside lower left", ncols=columns, fontsize=8.5, handlelength=3.2)


def literal(name: str, width: int) -> str:
    """A name as matplotlib draws it: no formulas between dollars, no underscore to hide it, no line beyond `width`.

    Args:
        name: data, such as an identity; it may hold any character.
        width: characters on a line.
    """
    lines = textwrap.wrap(join_lines(name), width, break_on_hyphens=False) or ["—"]
    text = "\n".join(lines).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def break_label(label: str) -> str:
    """Break a long tick label into lines where its parameters or its remark begin.

    Args:
        label: a text of one line.
    """
    parts = [label] if len(label) < TICK_SIGNS - 8 else label.replace("[", "\n[").replace(" (", "\n(").split("\n")
    return "\n".join(literal(part, TICK_SIGNS) for part in parts)


def save(figure: Figure, path: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write `path`.svg, `path`.pdf or `path`.png, without dates in them, so that the same figure is the same bytes.

    Args:
        figure: made under `theme`.
        path: without a suffix; its folder exists.
        formats: of `FORMATS`.

    Returns:
        The files, in the order of the formats.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, for all files
    files = [path.with_name(f"{path.name}.{suffix}") for suffix in formats]
    for file, suffix in zip(files, formats, strict=True):
        figure.savefig(file, **SAVED_WITH[suffix])
    return files
