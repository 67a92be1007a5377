"""Figures of budgets: the expected best of k trials against k, the untuned learned optimizers as horizontal lines."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from l2obench.reports.figures.canvas import legend, new_figure, plot_line, scale
from l2obench.reports.figures.drawing import Drawing, drawing
from l2obench.reports.figures.styles import Style, without_marker


def budget_drawings(table: pd.DataFrame, untuned: pd.DataFrame, styles: Mapping[str, Style]) -> list[Drawing]:
    """A figure for each task and track with a budget.

    Args:
        table: as `l2obench.reports.numbers.budget.best_of_trials` gives it.
        untuned: `task`, `optimizer` and `loss` of learned optimizers that were not tuned; `run` where `table` has it.
        styles: as `l2obench.reports.figures.styles.line_styles` gives them.
    """
    found = []
    place = [name for name in ("run", "task") if name in table]
    for key, rows in table.groupby([*place, "track"], sort=False):
        names = list(map(str, key))
        here = untuned
        for name, value in zip(place, names, strict=False):
            here = here[here[name].eq(value)]
        words = f"Expected best loss of k trials against k on {names[-2]}, for {', '.join(rows['optimizer'].unique())}"
        lines = list(zip(here["optimizer"], here["loss"], strict=True))
        make = partial(budget_figure, names[-2:], rows, lines, dict(styles))
        found.append(drawing("budget", names, words, make, partial(rows.copy)))
    return found


def budget_figure(
    names: list[str], rows: pd.DataFrame, lines: list[tuple[str, float]], styles: dict[str, Any]
) -> Figure:
    """Expected best of k trials against k, with quartiles over the choices of k trials as bands.

    Args:
        names: of the task and the track, for the title.
        rows: of the table, for one task and track.
        lines: untuned learned optimizers and their mean losses.
        styles: one for each optimizer.
    """
    figure, axes = new_figure(f"{names[0]}, {names[1]}")
    drawn, entries = [], []
    for optimizer, own in rows.groupby("optimizer", sort=False):
        style = styles[str(optimizer)]
        expected = own["expected_best"].to_numpy(dtype=float)
        shown = np.where(np.isfinite(expected), expected, np.nan)
        plot_line(axes, own["trials"], shown, style)
        low, high = (own[name].to_numpy(dtype=float) for name in ("lower_quartile", "upper_quartile"))
        both = np.isfinite(low) & np.isfinite(high)
        axes.fill_between(own["trials"][both], low[both], high[both], color=style["color"], alpha=0.14, linewidth=0)
        drawn += [expected, low[both]]
        entries.append((str(optimizer), style))
    for optimizer, loss in lines:
        if np.isfinite(loss):
            axes.axhline(loss, **without_marker(styles[optimizer]))
            drawn.append(np.array([loss]))
        entries.append((f"{optimizer}, untuned", without_marker(styles[optimizer])))
    scale(axes.set_yscale, [values[np.isfinite(values)] for values in drawn])
    axes.set(xlabel="trials k", ylabel="loss of the best of k trials")
    axes.margins(x=0.01)
    legend(figure, entries)
    return figure
