"""Figures of a report, from the numbers of `l2obench.reports.numbers.curves`."""

import itertools
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from l2obench.reports.figures.canvas import TITLE_SIGNS, Style, break_label, legend, literal, new_figure, scale
from l2obench.reports.figures.drawing import Drawing, drawing
from l2obench.reports.numbers.curves import Curve, FinalLosses, Landscape, TaskPlots

# Okabe and Ito's palette, made for all kinds of colour vision; its strongest hue is kept for learned optimizers.
LEARNED_COLOURS = ("#D55E00", "#882255", "#000000")
BASELINE_COLOURS = ("#0072B2", "#009E73", "#56B4E9", "#E69F00", "#CC79A7", "#777777")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.2, 1.5)))


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
        by_second = f"Loss against wall-clock time on {task.title}, for {names}"
        found += [
            drawing("curves", _key(task), by_step, partial(curves_figure, *arguments)),
            drawing("seconds", _key(task), by_second, partial(seconds_figure, *arguments)),
        ]
    return found


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
        )
        for task in plots
        if task.landscapes
    ]


def line_styles(plots: Sequence[TaskPlots]) -> dict[str, Style]:
    """One line style for each optimizer, the same in all figures: learned ones thick and in colours of their own.

    Args:
        plots: all tasks of the report, so that an optimizer has one style on every page.
    """
    learned = {curve.optimizer: curve.learned for task in plots for curve in task.curves}
    tried = {landscape.optimizer for task in plots for landscape in task.landscapes}
    learned |= dict.fromkeys(tried - learned.keys(), False)
    styles = {
        True: _styles(LEARNED_COLOURS, linewidth=3.0, zorder=4),
        False: _styles(BASELINE_COLOURS, linewidth=1.6, zorder=3),
    }
    return {name: next(styles[learned[name]]) for name in sorted(learned)}


def curves_figure(title: str, curves: Sequence[Curve], styles: dict[str, Style], window: int) -> Figure:
    """Interquartile mean losses against steps, with 95 % bands.

    Args:
        title: the task, and the run where there are several.
        curves: those of one task.
        styles: as `line_styles` gives them.
        window: losses that are averaged at each step.
    """
    figure, axes = new_figure(title)
    draw_curves(axes, curves, styles, window)
    legend(figure, [(curve.label, styles[curve.optimizer]) for curve in curves])
    return figure


def draw_curves(axes: Axes, curves: Sequence[Curve], styles: dict[str, Style], window: int) -> None:
    """Draw the curves of one task with their bands on axes that are there.

    Args:
        axes: where to draw; its scale and labels are set.
        curves: those of one task.
        styles: as `line_styles` gives them.
        window: losses that are averaged at each step.
    """
    for curve in curves:
        style = styles[curve.optimizer]
        axes.plot(curve.steps, curve.middle, **style)
        axes.fill_between(curve.steps, curve.low, curve.high, color=style["color"], alpha=0.14, linewidth=0)
    scale(axes.set_yscale, [values for curve in curves for values in (curve.middle, curve.low)])
    axes.set(xlabel="step", ylabel=_loss_label(window))
    axes.margins(x=0.01)


def seconds_figure(title: str, curves: Sequence[Curve], styles: dict[str, Style], window: int) -> Figure:
    """The same losses against the wall-clock seconds of one replica, at the pace of the serial timing pass.

    Args:
        title: the task, and the run where there are several.
        curves: those of one task; one without a step time is named in the legend only.
        styles: as `line_styles` gives them.
        window: losses that are averaged at each step.
    """
    figure, axes = new_figure(title)
    timed = [curve for curve in curves if np.isfinite(curve.step_seconds)]
    for curve in timed:
        axes.plot(curve.steps[1:] * curve.step_seconds, curve.middle[1:], **styles[curve.optimizer])
    scale(axes.set_yscale, [curve.middle for curve in timed])
    scale(axes.set_xscale, [curve.steps[1:] * curve.step_seconds for curve in timed])
    if axes.get_xscale() == "log":
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(EngFormatter(unit="s"))
    axes.xaxis.set_minor_formatter(NullFormatter())
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
        styles: as `line_styles` gives them.
    """
    figure, axes = new_figure(title, height=1.5 + 0.55 * len(spreads))
    for row, spread in enumerate(spreads):
        colour = styles[spread.optimizer]["color"]
        # Dots are spread by multiples of the golden ratio: even, and the same every time.
        height = row + 0.12 + 0.3 * ((np.arange(len(spread.losses)) * 0.618034) % 1)
        axes.plot(spread.losses, height, ".", color=colour, alpha=0.55, markersize=7.5, markeredgewidth=0)
        if np.isfinite(spread.mean):
            axes.plot([spread.low, spread.high], [row - 0.12] * 2, color=colour, linewidth=2.5, solid_capstyle="butt")
            axes.plot(spread.mean, row - 0.12, "D", color=colour, markersize=6.5, markeredgecolor="white")
    scale(axes.set_xscale, [spread.losses for spread in spreads])
    axes.set_yticks(range(len(spreads)), [break_label(spread.label) for spread in spreads])
    axes.set_ylim(len(spreads) - 0.4, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("final training loss")
    dot = {"marker": ".", "linestyle": "", "color": "#777777", "alpha": 0.6}
    diamond = {"marker": "D", "markeredgecolor": "white", "linewidth": 2.5, "color": "#777777"}
    legend(figure, [("one seed", dot), ("mean, 95 % interval", diamond)])
    return figure


def landscape_figure(title: str, rates: Sequence[Landscape], styles: dict[str, Style]) -> Figure:
    """Mean final loss at every learning rate tried: the chosen one ringed, crosses above where a seed diverged.

    Args:
        title: the task, and the run where there are several.
        rates: one a line.
        styles: as `line_styles` gives them.
    """
    figure, axes = new_figure(title)
    above = axes.get_xaxis_transform()
    for row, landscape in enumerate(rates):
        style = styles[landscape.optimizer]
        finite = np.isfinite(landscape.means)
        best = landscape.rates == landscape.chosen
        axes.plot(landscape.rates, np.where(finite, landscape.means, np.nan), marker=".", **style)
        ring: Style = {"markersize": 11, "markerfacecolor": "none", "markeredgewidth": 2, "zorder": 5}
        axes.plot(landscape.rates[best & finite], landscape.means[best & finite], "o", color=style["color"], **ring)
        height = np.full((~finite).sum(), 1.03 + 0.24 * row / max(len(rates), 8))
        crosses: Style = {"color": style["color"], "markersize": 4, "transform": above, "clip_on": False}
        axes.plot(landscape.rates[~finite], height, "x", in_layout=False, **crosses)
    if not all(np.isfinite(landscape.means).all() for landscape in rates):
        axes.set_title(literal(title, TITLE_SIGNS), pad=10 + 7.5 * min(len(rates), 8))
    axes.set_xscale("log")
    scale(axes.set_yscale, [landscape.means for landscape in rates])
    axes.set(xlabel="learning rate (○ chosen, × a seed diverged)", ylabel="mean final loss, tuning seeds")
    legend(figure, [(landscape.optimizer, styles[landscape.optimizer]) for landscape in rates])
    return figure


def _styles(colours: Sequence[str], **width: float) -> Iterator[Style]:
    """Colours first, then the same ones dashed."""
    return itertools.cycle({"color": colour, "linestyle": dash, **width} for dash in DASHES for colour in colours)


def _loss_label(window: int) -> str:
    return "loss" if window == 1 else f"loss (mean of the last {window} minibatches)"


def _key(task: TaskPlots) -> list[str]:
    return [*([task.run] if task.run else []), task.task]
