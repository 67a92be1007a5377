"""Figures of trials to match: the share of tasks on which k trials of a baseline are as good as a learned optimizer."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from l2obench.reports.figures.canvas import Style, legend, new_figure
from l2obench.reports.figures.drawing import Drawing, drawing
from l2obench.reports.numbers.trials_to_match import matched_curve


def match_drawings(table: pd.DataFrame, styles: dict[str, Style]) -> list[Drawing]:
    """A figure for each learned optimizer.

    Args:
        table: as `l2obench.reports.numbers.trials_to_match.trials_to_match` gives it.
        styles: as `l2obench.reports.figures.curves.line_styles` gives them.
    """
    found = []
    place = [name for name in ("run", "optimizer") if name in table]
    for key, rows in table.groupby(place, sort=False):
        names = list(map(str, key))
        words = f"Share of tasks on which k trials of a baseline are at least as good as {names[-1]} without tuning"
        found.append(drawing("trials-to-match", names, words, partial(match_figure, names[-1], rows, dict(styles))))
    return found


def match_figure(optimizer: str, rows: pd.DataFrame, styles: dict[str, Style]) -> Figure:
    """The share of tasks that k trials match, against k, for each baseline; its mean over the orders of the trials.

    Args:
        optimizer: the learned one, for the title.
        rows: of the table, for this optimizer.
        styles: one for each optimizer.
    """
    figure, axes = new_figure(f"against {optimizer}, untuned")
    entries = []
    most = max(2, int(rows["tried"].max()))
    for (baseline, source), own in rows.groupby(["baseline", "source"], sort=False):
        style = styles[str(baseline)]
        axes.plot(np.arange(1, most + 1), matched_curve(own, most), **style)
        entries.append((f"{baseline} ({source}, {own['task'].nunique()} tasks)", style))
    axes.set(xlabel="trials k", ylabel="share of tasks matched", ylim=(-0.02, 1.02))
    axes.margins(x=0.01)
    legend(figure, entries)
    return figure
