"""Figures of a report, from the numbers of `l2obench.reports.numbers.curves`."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from l2obench.reports.figures.canvas import break_label, legend, new_figure, plot_line, scale
from l2obench.reports.figures.drawing import Drawing, drawing
from l2obench.reports.figures.labels import End, name_lines
from l2obench.reports.figures.styles import SURFACE, Style, line_styles
from l2obench.reports.figures.ticks import time_ticks
from l2obench.reports.numbers.curves import Curve, FinalLosses, Landscape, TaskPlots

SMOOTH_NOTE = "interquartile mean over the seeds that did not fail, 95 % bootstrap bands"


def curve_drawings(plots: Sequence[TaskPlots]) -> list[Drawing]:
    """Learning curves of every task, against steps and against seconds.

    Args:
        plots: as `l2obench.reports.numbers.curves.task_plots` gives them.
    """
    styles, found = line_styles(plots), []
    for task in plots:
        names = ", ".join(curve.label for curve in task.curves)
        arguments = (task.title, task.curves, styles, task.window)
        by_step = f"Loss against step on {task.title}, for {names}"
        numbers = partial(curve_numbers, task.curves)
        found.append(drawing("curves", _key(task), by_step, partial(curves_figure, *arguments), numbers))
        if any(np.isfinite(curve.step_seconds) for curve in task.curves):
            by_second = f"Loss against wall-clock time on {task.title}, for {names}"
            found.append(drawing("seconds", _key(task), by_second, partial(seconds_figure, *arguments), numbers))
    return found


def curve_numbers(curves: Sequence[Curve]) -> pd.DataFrame:
    """Every point of curves: step, seconds and gradients there, the interquartile mean and its band.

    Args:
        curves: those of one task.
    """
    parts = [
        pd.DataFrame(
            {
                "optimizer": curve.optimizer,
                "track": curve.track,
                "step": curve.steps,
                "seconds": curve.steps * curve.step_seconds,
                "gradients": curve.steps * curve.step_gradients,
                "interquartile_mean": curve.middle,
                "low": curve.low,
                "high": curve.high,
            }
        )
        for curve in curves
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def final_loss_drawings(plots: Sequence[TaskPlots]) -> list[Drawing]:
    """Final losses of every seed, a figure for each task.

    Args:
        plots: as `l2obench.reports.numbers.curves.task_plots` gives them.
    """
    styles = line_styles(plots)
    return [
        drawing(
            "final",
            _key(task),
            f"Final loss of every seed on {task.title}, for {', '.join(spread.label for spread in task.spreads)}",
            partial(final_losses_figure, task.title, task.spreads, styles),
            partial(spread_numbers, task.spreads),
        )
        for task in plots
    ]


def landscape_drawings(plots: Sequence[TaskPlots]) -> list[Drawing]:
    """Mean final loss at every learning rate that tuning tried, for each task on which something was tuned.

    Args:
        plots: as `l2obench.reports.numbers.curves.task_plots` gives them.
    """
    styles = line_styles(plots)
    return [
        drawing(
            "landscape",
            _key(task),
            f"Mean final loss against learning rate on {task.title}",
            partial(landscape_figure, task.title, task.landscapes, styles),
            partial(landscape_numbers, task.landscapes),
        )
        for task in plots
        if task.landscapes
    ]


def spread_numbers(spreads: Sequence[FinalLosses]) -> pd.DataFrame:
    """The final loss of every seed that did not fail, beside the mean over all seeds with its interval.

    Args:
        spreads: those of one task.
    """
    rows = [
        {"optimizer": spread.optimizer, "final_loss": loss}
        | {"mean_of_all_seeds": spread.mean, "low": spread.low, "high": spread.high, "failures": spread.failures}
        for spread in spreads
        for loss in spread.losses.tolist() or [np.nan]
    ]
    return pd.DataFrame(rows)


def landscape_numbers(rates: Sequence[Landscape]) -> pd.DataFrame:
    """The mean final loss of every learning rate; infinite where a seed diverged.

    Args:
        rates: those of one task.
    """
    rows = [
        {"optimizer": landscape.optimizer, "learning_rate": rate, "mean_final_loss": mean, "chosen": bool(chosen)}
        for landscape in rates
        for rate, mean, chosen in zip(
            landscape.rates.tolist(), landscape.means.tolist(), landscape.rates == landscape.chosen, strict=True
        )
    ]
    return pd.DataFrame(rows)


def curves_figure(title: str, curves: Sequence[Curve], styles: dict[str, Style], window: int) -> Figure:
    """Interquartile mean losses against steps, with 95 % bands.

    Args:
        title: the task, and the run where there are several.
        curves: those of one task.
        styles: as `l2obench.reports.figures.styles.line_styles` gives them.
        window: losses that are averaged at each step.
    """
    figure, axes = new_figure(title, note=SMOOTH_NOTE)
    draw_curves(axes, curves, styles, window)
    name_lines(figure, axes, [_end(curve, styles) for curve in curves])
    return figure


def draw_curves(axes: Axes, curves: Sequence[Curve], styles: dict[str, Style], window: int) -> None:
    """Draw the curves of one task with their bands on axes that are there.

    Args:
        axes: where to draw; its scale and labels are set.
        curves: those of one task.
        styles: as `l2obench.reports.figures.styles.line_styles` gives them.
        window: losses that are averaged at each step.
    """
    for curve in curves:
        style = styles[curve.optimizer]
        plot_line(axes, curve.steps, curve.middle, style)
        axes.fill_between(curve.steps, curve.low, curve.high, color=style["color"], alpha=0.14, linewidth=0)
    scale(axes.set_yscale, [values for curve in curves for values in (curve.middle, curve.low)])
    axes.set(xlabel="step", ylabel=_loss_label(window))
    axes.margins(x=0.0)


def seconds_figure(title: str, curves: Sequence[Curve], styles: dict[str, Style], window: int) -> Figure:
    """The same losses against the wall-clock time of one replica, at the pace of the serial timing pass.

    Args:
        title: the task, and the run where there are several.
        curves: those of one task; one without a step time is named in the legend only.
        styles: as `l2obench.reports.figures.styles.line_styles` gives them.
        window: losses that are averaged at each step.
    """
    figure, axes = new_figure(title, note="interquartile mean over the seeds that did not fail")
    timed = [curve for curve in curves if np.isfinite(curve.step_seconds)]
    for curve in timed:
        style = styles[curve.optimizer]
        plot_line(axes, curve.steps[1:] * curve.step_seconds, curve.middle[1:], style)
    scale(axes.set_yscale, [curve.middle for curve in timed])
    scale(axes.set_xscale, [curve.steps[1:] * curve.step_seconds for curve in timed])
    time_ticks(axes.xaxis)
    axes.set(xlabel="wall-clock time of one replica on the machine of the run", ylabel=_loss_label(window))
    remarks = {True: "", False: " (not timed)"}
    labels = [curve.label + remarks[bool(np.isfinite(curve.step_seconds))] for curve in curves]
    legend(figure, [(label, styles[curve.optimizer]) for label, curve in zip(labels, curves, strict=True)])
    return figure


def final_losses_figure(title: str, spreads: Sequence[FinalLosses], styles: dict[str, Style]) -> Figure:
    """Every seed's final loss as a dot, the mean with its 95 % interval above them; no mean where a seed failed.

    Args:
        title: the task, and the run where there are several.
        spreads: one a row, from the top.
        styles: as `l2obench.reports.figures.styles.line_styles` gives them.
    """
    figure, axes = new_figure(title, height=1.3 + 0.42 * len(spreads))
    for row, spread in enumerate(spreads):
        colour, marker = styles[spread.optimizer]["color"], styles[spread.optimizer]["marker"]
        # Dots are spread by multiples of the golden ratio: even, and the same every time.
        height = row + 0.12 + 0.3 * ((np.arange(len(spread.losses)) * 0.618034) % 1)
        axes.plot(spread.losses, height, ".", color=colour, alpha=0.55, markersize=6, markeredgewidth=0)
        if np.isfinite(spread.mean):
            axes.plot([spread.low, spread.high], [row - 0.12] * 2, color=colour, linewidth=2.5, solid_capstyle="butt")
            axes.plot(spread.mean, row - 0.12, marker, color=colour, markersize=7, markeredgecolor=SURFACE)
    scale(axes.set_xscale, [spread.losses for spread in spreads])
    axes.set_yticks(range(len(spreads)), [break_label(spread.label) for spread in spreads])
    axes.set_ylim(len(spreads) - 0.4, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("final training loss")
    dot = {"marker": ".", "linestyle": "", "color": "#777777", "alpha": 0.6}
    mean = {"marker": "D", "markeredgecolor": SURFACE, "linewidth": 2.5, "color": "#777777"}
    legend(figure, [("one seed that did not fail", dot), ("mean over all seeds, 95 % interval", mean)])
    return figure


def landscape_figure(title: str, rates: Sequence[Landscape], styles: dict[str, Style]) -> Figure:
    """Mean final loss at every learning rate tried: the chosen one ringed, crosses above where a seed diverged.

    Args:
        title: the task, and the run where there are several.
        rates: one a line.
        styles: as `l2obench.reports.figures.styles.line_styles` gives them.
    """
    figure, axes = new_figure(title)
    above = axes.get_xaxis_transform()
    for row, landscape in enumerate(rates):
        style = styles[landscape.optimizer]
        finite = np.isfinite(landscape.means)
        best = landscape.rates == landscape.chosen
        axes.plot(landscape.rates, np.where(finite, landscape.means, np.nan), **style)
        ring: Style = {"markersize": 12, "markerfacecolor": "none", "markeredgewidth": 2, "zorder": 5}
        axes.plot(landscape.rates[best & finite], landscape.means[best & finite], "o", color=style["color"], **ring)
        height = np.full((~finite).sum(), 1.03 + 0.24 * row / max(len(rates), 8))
        crosses: Style = {"color": style["color"], "markersize": 4, "transform": above, "clip_on": False}
        axes.plot(landscape.rates[~finite], height, "x", in_layout=False, **crosses)
    if not all(np.isfinite(landscape.means).all() for landscape in rates):
        axes.set_title(" ", fontsize=8, pad=7.5 * min(len(rates), 8))
    axes.set_xscale("log")
    scale(axes.set_yscale, [landscape.means for landscape in rates])
    axes.set(xlabel="learning rate (○ chosen, × a seed diverged)", ylabel="mean final loss, tuning seeds")
    legend(figure, [(landscape.optimizer, styles[landscape.optimizer]) for landscape in rates])
    return figure


def _end(curve: Curve, styles: dict[str, Style]) -> End:
    return End(curve.label, float(curve.steps[-1]), float(curve.middle[-1]), styles[curve.optimizer])


def _loss_label(window: int) -> str:
    return "loss" if window == 1 else f"loss (mean of the last {window} minibatches)"


def _key(task: TaskPlots) -> list[str]:
    return [*([task.run] if task.run else []), task.task]
