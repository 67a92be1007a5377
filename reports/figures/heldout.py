"""Figures of held-out metrics over the steps."""

from collections.abc import Sequence
from functools import partial

from matplotlib.figure import Figure

from l2obench.reports.figures.canvas import Style, legend, new_figure, scale
from l2obench.reports.figures.drawing import Drawing, drawing
from l2obench.reports.numbers.curves import MetricCurve
from l2obench.reports.numbers.heldout_curves import HeldoutPlot


def heldout_drawings(plots: Sequence[HeldoutPlot], styles: dict[str, Style]) -> list[Drawing]:
    """A figure for each metric of each task.

    Args:
        plots: as `l2obench.reports.numbers.heldout_curves.heldout_plots` gives them.
        styles: as `l2obench.reports.figures.curves.line_styles` gives them.
    """
    return [
        drawing(
            "heldout",
            [*([plot.run] if plot.run else []), plot.task, plot.metric],
            f"Held-out {plot.metric} against step on {plot.title}, for {', '.join(c.label for c in plot.curves)}",
            partial(heldout_figure, plot.title, f"held-out {plot.metric}", plot.curves, styles),
        )
        for plot in plots
    ]


def heldout_figure(title: str, name: str, curves: Sequence[MetricCurve], styles: dict[str, Style]) -> Figure:
    """Interquartile means of a held-out metric against steps, with 95 % bands; a dot where it was taken.

    Args:
        title: the task, and the run where there are several.
        name: of the metric, for the axis.
        curves: those of one task.
        styles: one for each optimizer.
    """
    figure, axes = new_figure(title)
    for curve in curves:
        style = styles[curve.optimizer]
        axes.plot(curve.steps, curve.middle, marker=".", **style)
        axes.fill_between(curve.steps, curve.low, curve.high, color=style["color"], alpha=0.14, linewidth=0)
    scale(axes.set_yscale, [values for curve in curves for values in (curve.middle, curve.low)])
    axes.set(xlabel="step", ylabel=name)
    axes.margins(x=0.01)
    legend(figure, [(curve.label, styles[curve.optimizer]) for curve in curves])
    return figure
