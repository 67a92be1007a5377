"""Figures of held-out metrics over the steps."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from l2obench.reports.figures.canvas import new_figure, scale
from l2obench.reports.figures.curves import SMOOTH_NOTE
from l2obench.reports.figures.drawing import Drawing, drawing
from l2obench.reports.figures.labels import End, name_lines
from l2obench.reports.figures.styles import Style
from l2obench.reports.numbers.curves import MetricCurve
from l2obench.reports.numbers.heldout_curves import HeldoutPlot


def heldout_drawings(plots: Sequence[HeldoutPlot], styles: dict[str, Style]) -> list[Drawing]:
    """A figure for each metric of each task.

    Args:
        plots: as `l2obench.reports.numbers.heldout_curves.heldout_plots` gives them.
        styles: as `l2obench.reports.figures.styles.line_styles` gives them.
    """
    return [
        drawing(
            "heldout",
            [*([plot.run] if plot.run else []), plot.task, plot.metric],
            f"Held-out {plot.metric} against step on {plot.title}, for {', '.join(c.label for c in plot.curves)}",
            partial(heldout_figure, plot.title, f"held-out {plot.metric}", plot.curves, styles, plot.better == "lower"),
            partial(heldout_numbers, plot.curves),
        )
        for plot in plots
    ]


def heldout_numbers(curves: Sequence[MetricCurve]) -> pd.DataFrame:
    """Every point of the curves of one metric.

    Args:
        curves: those of one task and metric.
    """
    parts = [
        pd.DataFrame(
            {
                "optimizer": curve.optimizer,
                "track": curve.track,
                "step": curve.steps,
                "interquartile_mean": curve.middle,
                "low": curve.low,
                "high": curve.high,
            }
        )
        for curve in curves
    ]
    return pd.concat(parts, ignore_index=True)


def heldout_figure(
    title: str, name: str, curves: Sequence[MetricCurve], styles: dict[str, Style], may_be_logarithmic: bool = True
) -> Figure:
    """Interquartile means of a held-out metric against steps, with 95 % bands; a dot where it was taken.

    Args:
        title: the task, and the run where there are several.
        name: of the metric, for the axis.
        curves: those of one task.
        styles: one for each optimizer.
        may_be_logarithmic: whether a wide axis is; that of an accuracy never is, for its differences count near 1.
    """
    figure, axes = new_figure(title, note=SMOOTH_NOTE)
    for curve in curves:
        style = styles[curve.optimizer]
        axes.plot(curve.steps, curve.middle, **style)
        axes.fill_between(curve.steps, curve.low, curve.high, color=style["color"], alpha=0.14, linewidth=0)
    if may_be_logarithmic:
        scale(axes.set_yscale, [values for curve in curves for values in (curve.middle, curve.low)])
    axes.set(xlabel="step", ylabel=name)
    axes.margins(x=0.0)
    ends = [End(c.label, float(c.steps[-1]), float(c.middle[-1]), styles[c.optimizer]) for c in curves]
    name_lines(figure, axes, ends)
    return figure
