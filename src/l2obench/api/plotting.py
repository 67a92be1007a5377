"""Figures of `Results.plot`: learning curves of each task, or the ratios to the best baselines of all tasks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from l2obench.reports.figures.canvas import literal, theme
from l2obench.reports.figures.curves import draw_curves
from l2obench.reports.figures.forest import axis_end
from l2obench.reports.figures.styles import line_styles
from l2obench.reports.formats import format_number
from l2obench.reports.numbers.curves import TaskPlots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = (7.6, 4.2)
"""Size of an axes of curves in inches, its legend included."""
WIDTH, ROW, AROUND = 7.6, 0.26, 1.3
"""Of a figure of ratios in inches: its width, a row of it, and title with axis."""
TITLE_SIGNS, LEGEND_SIGNS, LABEL_SIGNS = 60, 48, 44


def plot_curves(chosen: Sequence[TaskPlots], every: Sequence[TaskPlots], axes: "Axes | None") -> "list[Axes]":
    """Draw the learning curves of each task, with a legend in the order in which the curves end.

    Args:
        chosen: the tasks to draw.
        every: all tasks of the results, so that an optimizer looks the same in each.
        axes: where the only task is drawn; None: in a new figure of pyplot for each task.
    """
    styles, drawn = line_styles(every), []
    for plots in chosen:
        with theme():
            on = axes or _new_axes(*CURVES)
            draw_curves(on, plots.curves, styles, plots.window)
            on.set_title(literal(plots.task, TITLE_SIGNS), loc="left")
            on.spines[["top", "right"]].set_visible(False)
            last = [curve.middle[-1] if len(curve.middle) else np.nan for curve in plots.curves]
            # The curve that ends highest stands highest in the legend, and one without an end last.
            order = np.argsort([-value if np.isfinite(value) else np.inf for value in last], kind="stable")
            shown = [plots.curves[place] for place in order]
            lines = [on.plot([], [], **styles[curve.optimizer])[0] for curve in shown]
            labels = [literal(curve.label, LEGEND_SIGNS) for curve in shown]
            # Beside the axes, unless they are the caller's, who may have no room there.
            beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)} if axes is None else {"loc": "best"}
            on.legend(lines, labels, fontsize="small", frameon=False, handlelength=2.6, **beside)
            drawn.append(on)
    return drawn


def plot_ratios(tasks: pd.DataFrame, plots: Sequence[TaskPlots], axes: "Axes | None") -> "list[Axes]":
    """Draw each learned optimizer's typical ratio to the best baseline, a row a task, with 95 % intervals.

    Args:
        tasks: rows of `by_task` whose measure is a ratio.
        plots: all tasks of the results, for the colours.
        axes: where to draw; None: in a new figure of pyplot.

    Returns:
        One axes. What lies beyond its ends is drawn at the end, with an arrow.
    """
    styles = line_styles(plots)
    order = tasks.groupby("task", sort=False)["typical"].min().sort_values(kind="stable").index
    rows = {task: place for place, task in enumerate(order)}
    names = list(dict.fromkeys(tasks["optimizer"]))
    end = axis_end(tasks["typical"])
    with theme():
        on = axes or _new_axes(WIDTH, AROUND + ROW * len(rows) * max(1.0, 0.7 * len(names)))
        for number, name in enumerate(names):
            own = tasks[tasks["optimizer"] == name]
            style = {"color": styles[name]["color"], "zorder": 3}
            shift = 0.0 if len(names) == 1 else 0.6 * (number / (len(names) - 1) - 0.5)
            heights = own["task"].map(rows).to_numpy(dtype=float) + shift
            points = own["typical"].to_numpy(dtype=float)
            low, high = (own[f"typical_{side}"].to_numpy(dtype=float).clip(1 / end, end) for side in ("low", "high"))
            on.hlines(heights, low, high, linewidth=1.6, **style)
            inside, left = (points >= 1 / end) & (points <= end), points < 1 / end
            for where, marker, at in (
                (inside, styles[name]["marker"], points),
                (left, "<", 1 / end),
                (~inside & ~left, ">", end),
            ):
                on.plot(
                    np.broadcast_to(at, points.shape)[where],
                    heights[where],
                    marker,
                    markersize=5.5,
                    clip_on=False,
                    **style,
                )
            on.plot([], [], styles[name]["marker"], label=literal(name, LEGEND_SIGNS), color=style["color"])
        on.axvline(1.0, color="#444444", linewidth=1.0, zorder=2)
        on.set_xscale("log")
        on.set_xlim(1 / end / 1.08, end * 1.08)
        ticks = [1 / end, 1 / np.sqrt(end), 1.0, np.sqrt(end), end]
        on.set_xticks(ticks, [f"{format_number(float(f'{tick:.2g}'))}×" for tick in ticks])
        on.minorticks_off()
        on.set_yticks(range(len(rows)), [literal(task, LABEL_SIGNS) for task in rows], fontsize="small")
        on.set_ylim(len(rows) - 0.5, -0.5)
        on.grid(visible=False, axis="y")
        on.spines[["top", "right"]].set_visible(False)
        on.set_xlabel("final training loss ÷ best baseline\ntypical ratio with 95 % interval (left of 1: lower)")
        on.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), fontsize="small", frameon=False)
    return [on]


def _new_axes(width: float, height: float) -> "Axes":
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]
