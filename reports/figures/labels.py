"""Names of lines: at their right ends where they fit, one below the other, in a legend below the figure otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from l2obench.reports.figures.canvas import legend, literal
from l2obench.reports.figures.styles import Style

MOST_SIGNS = 40
"""Characters of a label at a line. With a longer one the lines would have less than half of the width."""
LINE_HEIGHT, FONT_SIZE = 0.15, 8.0
"""Of a label: inches, and points."""
AROUND = 0.75
"""Inches of a figure's height that title and ticks take."""
REACH = 0.05
"""Of the width of the axes, from the end of a line to its label."""


@dataclass(frozen=True)
class End:
    """Where a line ends, its name and its style."""

    label: str
    x: float
    y: float
    style: Style


def name_lines(figure: Figure, axes: Axes, ends: Sequence[End]) -> None:
    """Write the names of lines where the lines end; in a legend where one does not end at the right, or they are long.

    Args:
        figure: a legend changes its height.
        axes: with its lines, its scales and all that decides its limits.
        ends: of the lines; a line without a finite end only has its name in a legend.
    """
    gap = LINE_HEIGHT / (figure.get_figheight() - AROUND)
    axes.get_xlim(), axes.get_ylim()  # matplotlib sets limits late, when they are asked for
    places = [_place(axes, end) for end in ends]
    fits = len(ends) * gap <= 1 + gap and all(len(end.label) <= MOST_SIGNS for end in ends)
    if not (fits and all(place is not None for place in places)):
        legend(figure, [(end.label, end.style) for end in ends])
        return
    wanted = np.array(places, dtype=np.float64)
    for end, here, place in zip(ends, wanted, spread(wanted, gap, 0.0, 1.0), strict=True):
        colour = end.style["color"]
        leader = {"color": colour, "linewidth": 0.7, "alpha": 0.7, "clip_on": False, "transform": axes.transAxes}
        axes.plot([1.0, 1 + REACH], [here, place], **leader)
        text = literal(end.label, MOST_SIGNS)
        weight = "bold" if end.style["zorder"] > 3 else "normal"
        axes.text(
            1 + 1.2 * REACH, place, text, color=colour, fontsize=FONT_SIZE, fontweight=weight, va="center_baseline",
            transform=axes.transAxes,
        )  # fmt: skip


def spread(wanted: NDArray[np.float64], gap: float, low: float, high: float) -> NDArray[np.float64]:
    """Move places apart as little as possible, in the sum of squares, so that none is nearer to the next than a gap.

    Args:
        wanted: `[places]`, in any order.
        gap: between two neighbours.
        low: the least place.
        high: the largest place. Where all do not fit below it, the last ones go beyond.

    Returns:
        The places `[places]`, in the order of `wanted`.

    Example:
        >>> spread(np.array([0.5, 0.5, 0.9]), 0.1, 0.0, 1.0).round(2).tolist()
        [0.45, 0.55, 0.9]
    """
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    # Without their gaps, the places only have to rise: that is isotonic regression.
    risen = isotonic_regression(np.asarray(wanted, dtype=np.float64)[order] - steps).x
    placed = np.empty(len(wanted))
    placed[order] = np.clip(risen, low, max(low, high - gap * (len(wanted) - 1))) + steps
    return placed


def _place(axes: Axes, end: End) -> float | None:
    """Where a line ends, as a share of the height; None where it does not end at the right edge."""
    if not (np.isfinite(end.x) and np.isfinite(end.y)):
        return None
    x, y = axes.transAxes.inverted().transform(axes.transData.transform((end.x, end.y)))
    return float(np.clip(y, 0, 1)) if np.isfinite(y) and x > 0.95 else None
