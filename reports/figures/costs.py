"""The figure of what an update costs: operations, bytes and seconds of every optimizer, in multiples of Adam's."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from l2obench.reports.figures.canvas import break_label, legend, literal, new_figure
from l2obench.reports.figures.drawing import Drawing, drawing
from l2obench.reports.figures.styles import Style
from l2obench.reports.formats import format_number
from l2obench.reports.numbers.counting import groups

KIND = "costs"
# Characters of a name that stays on one line.
LONGEST_LABEL = 32
UNIT = "adam"
MEASURES: dict[str, tuple[str, Style]] = {
    "flops_per_coordinate": ("FLOPs of an update", {"marker": "o", "color": "#0072B2", "markerfacecolor": "none"}),
    "bytes_per_coordinate": (
        "bytes that an update reads and writes",
        {"marker": "s", "color": "#009E73", "markerfacecolor": "none"},
    ),
    "update_microseconds": ("time of an update", {"marker": "D", "color": "#D55E00"}),
    "step_microseconds": ("time of a step, gradient included", {"marker": "|", "color": "#222222"}),
}


def cost_drawings(table: pd.DataFrame) -> list[Drawing]:
    """A figure for every task on which Adam's update was counted and timed.

    Args:
        table: as `l2obench.reports.numbers.costs.costs` gives it.
    """
    found = []
    for key, rows in groups(table, "task"):
        multiples = in_multiples(rows)
        if len(multiples) < 2:
            continue
        title = key["task"] + (f" in {key['run']}" if "run" in key else "")
        words = f"Cost of an update on {title}, divided by Adam's, for {', '.join(multiples.index)}"
        make = partial(costs_figure, title, multiples)
        found.append(drawing(KIND, list(map(str, key.values())), words, make, multiples.reset_index))
    return found


def in_multiples(rows: pd.DataFrame) -> pd.DataFrame:
    """The measures of a task's optimizers over Adam's, the quickest update first; those not timed are left out.

    Without Adam's there is nothing.

    Args:
        rows: those of one task in the table of costs.

    Returns:
        By optimizer, a column for each of `MEASURES`.
    """
    one = rows.drop_duplicates("optimizer").set_index("optimizer")
    known = one.assign(step_microseconds=one["grad_microseconds"] + one["update_microseconds"])[list(MEASURES)]
    if UNIT not in known.index or known.loc[UNIT].isna().any():
        return known.iloc[:0]
    return (known / known.loc[UNIT]).dropna(subset="update_microseconds").sort_values("update_microseconds")


def costs_figure(title: str, multiples: pd.DataFrame) -> Figure:
    """One line for each optimizer, one mark for each measure; Adam's are the line at 1.

    Args:
        title: what was measured on.
        multiples: as `in_multiples` gives it.
    """
    labels = [
        literal(name, LONGEST_LABEL) if len(name) <= LONGEST_LABEL else break_label(name) for name in multiples.index
    ]
    lines = max(label.count("\n") + 1 for label in labels)
    figure, axes = new_figure(title, height=1.4 + (0.12 + 0.15 * lines) * len(multiples))
    axes.axvline(1, color="#999999", linewidth=1, zorder=1)
    places = np.arange(len(multiples))
    for measure, (_, style) in MEASURES.items():
        axes.plot(multiples[measure], places, linestyle="", markersize=7, markeredgewidth=1.8, zorder=3, **style)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_number(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(places, labels, fontsize=9)
    axes.set_ylim(len(multiples) - 0.5, -0.5)
    axes.set_xlabel("optimizer ÷ Adam")
    legend(figure, [(label, {"linestyle": "", "markeredgewidth": 1.8, **style}) for label, style in MEASURES.values()])
    return figure
