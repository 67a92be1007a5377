"""Figures of trials to match: on each task, the trials that a baseline needs to be as good as a learned optimizer."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from l2obench.reports.figures.canvas import QUIET, break_label, legend, new_figure
from l2obench.reports.figures.drawing import Drawing, drawing
from l2obench.reports.figures.styles import Style
from l2obench.reports.formats import format_number

ROW_HEIGHT = 0.34
"""Inches of a baseline."""
NEVER = 0.14
"""Share of the axis to the right of the trials, for the tasks that no trial matches."""
MOST_SHAPES = 400
"""Marks up to here are shapes; more are pixels, so that the size does not grow with tasks × baselines."""


def match_drawings(table: pd.DataFrame, styles: dict[str, Style]) -> list[Drawing]:
    """A figure for each learned optimizer.

    Args:
        table: as `l2obench.reports.numbers.trials_to_match.trials_to_match` gives it.
        styles: as `l2obench.reports.figures.styles.line_styles` gives them.
    """
    found = []
    place = [name for name in ("run", "optimizer") if name in table]
    for key, rows in table.groupby(place, sort=False):
        names = list(map(str, key))
        words = f"Trials of each baseline until one is at least as good as {names[-1]} without tuning, task by task"
        make = partial(match_figure, names[-1], rows, dict(styles))
        found.append(drawing("trials-to-match", names, words, make, partial(rows.copy)))
    return found


def match_figure(optimizer: str, rows: pd.DataFrame, styles: dict[str, Style]) -> Figure:
    """A row for each baseline, a mark for each task: the expected trials until the first that matches, or never.

    Args:
        optimizer: the learned one, for the title.
        rows: of the table, for this optimizer.
        styles: one for each optimizer.
    """
    baselines = list(rows.groupby(["baseline", "source"], sort=False))
    figure, axes = new_figure(f"Trials to match {optimizer}, untuned", 1.5 + ROW_HEIGHT * len(baselines))
    most = max(2, int(rows["tried"].max()))
    never = most * (1 + NEVER / 2)
    axes.axvspan(most * (1 + NEVER / 4), most * (1 + NEVER), color="#888888", alpha=0.12, linewidth=0)
    marks: Style = {"linestyle": "", "markersize": 5, "alpha": 0.75, "markerfacecolor": "none"}
    marks["rasterized"] = len(rows) > MOST_SHAPES
    labels = []
    for place, ((baseline, source), own) in enumerate(baselines):
        style, matched = styles[str(baseline)], own["matching"].gt(0)
        # Marks are spread by multiples of the golden ratio: even, and the same every time.
        heights = place - 0.26 + 0.52 * ((np.arange(len(own)) * 0.618034) % 1)
        where = np.where(matched, own["trials"].clip(upper=most), never)
        axes.plot(where, heights, style["marker"], color=style["color"], **marks)
        if matched.any() and np.isfinite(median := float(own["trials"].median())):
            axes.plot([median] * 2, [place - 0.38, place + 0.38], color=style["color"], linewidth=2.4)
        labels.append(f"{break_label(str(baseline))} ({source})")
        count = f"{int((~matched).sum())} of {len(own)}"
        axes.text(most * (1 + NEVER * 1.1), place, count, va="center", fontsize=8, color=QUIET)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(
        xlim=(0.5, most * (1 + NEVER)),
        ylim=(len(labels) - 0.5, -0.6),
        xlabel="expected trials, in random order, until one is at least as good",
    )
    ticks = [1, *range(5, most + 1, 5)] if most >= 5 else list(range(1, most + 1))
    axes.set_xticks([*ticks, never], [*(format_number(float(tick)) for tick in ticks), "never"])
    axes.grid(visible=False, axis="y")
    line = {"color": "#777777", "linewidth": 2.4}
    mark = {"color": "#777777", "marker": "o", "linestyle": "", "markerfacecolor": "none"}
    legend(figure, [("one task", mark), ("median of the tasks", line)])
    return figure
