"""The figure of proposed updates: along a trajectory, and against the last gradient."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from l2obench.reports.figures.canvas import legend, literal, save, theme
from l2obench.reports.figures.styles import Style, line_style, looks

ROW_HEIGHT, WIDTHS = 1.6, (2.7, 2.0)  # inches; of the trajectory, and of each step
NAME_SIGNS, TITLE_SIGNS = 28, 90
PASTS: list[tuple[str, str, Style]] = [
    ("as it was", "the gradient before the last as it was", {"linestyle": "-"}),
    ("sign turned", "the same with its sign turned", {"linestyle": (0, (3, 1.5))}),
]


def draw_updates(title: str, history: pd.DataFrame, responses: pd.DataFrame, path: Path) -> None:
    """Draw the proposals of `l2obench updates` as `path`.svg, .pdf and .png.

    Args:
        title: the task, and what else distinguishes the history.
        history: `optimizer`, `learned`, `step`, `gradient`, `update`, the first optimizer being the one that led.
        responses: `optimizer`, `step`, `before`, `gradient`, `update`.
        path: of the figure, without its suffix; its folder exists.
    """
    with theme():
        save(updates_figure(title, history, responses), path)


def updates_figure(title: str, history: pd.DataFrame, responses: pd.DataFrame) -> Figure:
    """A row for each optimizer: what it proposed at every step, then what it would have at some; scales differ.

    Args:
        title: as for `draw_updates`.
        history: as for `draw_updates`.
        responses: as for `draw_updates`.
    """
    names = list(dict.fromkeys(history["optimizer"]))
    steps = sorted(set(responses["step"]))
    colours = _colours(history)
    widths = [WIDTHS[0], *[WIDTHS[1]] * len(steps)]
    figure = Figure(figsize=(sum(widths), 1.2 + ROW_HEIGHT * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(names), len(widths), sharex="col", squeeze=False, width_ratios=widths)
    for name, (along, *varied) in zip(names, grid, strict=True):
        own = history[history["optimizer"] == name]
        along.plot(own["step"], own["update"], color=colours[name], linewidth=1.2)
        along.set_title(literal(name, NAME_SIGNS), fontsize=10, color=colours[name])
        for axes, step in zip(varied, steps, strict=True):
            _draw_responses(
                axes, responses[(responses["optimizer"] == name) & (responses["step"] == step)], colours[name]
            )
            now = own[own["step"] == step]
            axes.plot(now["gradient"], now["update"], "o", color=colours[name], markersize=6, markeredgecolor="white")
            axes.set_title(f"at step {step}", fontsize=10, fontweight="normal")
            axes.xaxis.set_major_locator(MaxNLocator(3, symmetric=True))
    for axes in grid.flat:
        axes.axhline(0, color="#999999", linewidth=0.8, zorder=1)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    for axes, label in zip(grid[-1], ["step", *["last gradient"] * len(steps)], strict=True):
        axes.set_xlabel(label, fontsize=10)
    figure.suptitle(literal(title, TITLE_SIGNS), x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.supylabel("proposed update (each panel has its own scale)", fontsize=10)
    grey: Style = {"color": "#555555"}
    dot: Style = {"marker": "o", "linestyle": "", "markersize": 6, **grey}
    entries = [(words, {**style, **grey}) for _, words, style in PASTS]
    legend(figure, [*entries, ("as the trajectory had it", dot)])
    return figure


def _draw_responses(axes: Axes, rows: pd.DataFrame, colour: str) -> None:
    for past, _, style in PASTS:
        line = rows[rows["before"] == past]
        axes.plot(line["gradient"], line["update"], color=colour, linewidth=1.5, **style)


def _colours(history: pd.DataFrame) -> dict[str, str]:
    """A colour for each optimizer, as in all figures of a report of the same ones."""
    learned = {str(name): bool(flag) for name, flag in zip(history["optimizer"], history["learned"], strict=True)}
    return {name: str(line_style(look)["color"]) for name, look in looks(learned).items()}
