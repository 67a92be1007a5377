"""The figure of the transfer matrix: every learned optimizer on every task, those that it was trained on framed."""

import textwrap
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from l2obench.bench.config.budget import is_tuned
from l2obench.reports.figures.canvas import (
    FURTHEST,
    Style,
    format_two_digits,
    ink,
    literal,
    new_figure,
    ratio_colours,
)
from l2obench.reports.figures.drawing import Drawing, drawing
from l2obench.reports.numbers.familiarity import KIN, TRAINED

KIND = "transfer"
LEAST = 2
"""Learned optimizers, and tasks, that a matrix has at least."""
CELL_WIDTH, CELL_HEIGHT = 0.78, 0.5
LABEL_SIGNS, SIGN_WIDTH = 60, 0.075  # the second in inches, of a label's type
SLANT = 30
FRAMES: dict[str, Style] = {
    TRAINED: {"edgecolor": "black", "linewidth": 2.4},
    KIN: {"edgecolor": "black", "linewidth": 1.8, "linestyle": (0, (3, 2))},
}
KEY = (
    "Solid frame: the optimizer was trained on this task. Dashed frame: it was trained on the same family with other "
    "parameters. Bold: the verdict is better or worse. Where seeds failed, their number stands below. Hatched: it did "
    "not run, or cannot be compared."
)
KEY_SIGN_WIDTH, TITLE_SIGN_WIDTH = 0.063, 0.105  # in inches, of the type of each


def transfer_drawings(table: pd.DataFrame) -> list[Drawing]:
    """The matrix of each run with two learned optimizers and two tasks at least.

    Args:
        table: as `l2obench.reports.numbers.generalization.generalization` gives it.
    """
    found = []
    for key, rows in table.groupby("run", sort=False) if "run" in table else [("", table)]:
        run = str(key)
        if min(rows["optimizer"].nunique(), rows["task"].nunique()) < LEAST:
            continue
        where = f" in {run}" if run else ""
        names = ", ".join(dict.fromkeys(rows["optimizer"]))
        words = f"Typical final loss divided by the best baseline's, on every task{where}, for {names}"
        title = f"Typical ratio of final losses, learned ÷ best baseline{where}"
        found.append(drawing(KIND, [run] if run else [], words, partial(transfer_figure, title, rows)))
    return found


def transfer_figure(title: str, rows: pd.DataFrame) -> Figure:
    """Learned optimizers by tasks, in the order of the rows; colours are on a logarithmic scale around 1.

    Args:
        title: wrapped to the width of the figure.
        rows: those of one run in the table of generalization.
    """
    labelled = rows.assign(row=[_row_label(row) for row in rows.to_dict("records")])
    labels, tasks = list(dict.fromkeys(labelled["row"])), list(dict.fromkeys(rows["task"]))
    columns = [_label(*task.replace("[", "\n[", 1).split("\n")) for task in tasks]
    figure, axes = new_figure(title, height=1.2 + CELL_HEIGHT * len(labels) + SIGN_WIDTH / 2 * _widest(columns))
    figure.set_figwidth(1.2 + CELL_WIDTH * len(tasks) + SIGN_WIDTH * _widest(labels))
    colours = ratio_colours()
    for y in range(len(labels)):
        for x in range(len(tasks)):
            axes.add_patch(_box(x, y, facecolor="#f4f4f4", edgecolor="#bbbbbb", hatch="////", linewidth=0))
    for cell in labelled.to_dict("records"):
        _draw_cell(axes, tasks.index(cell["task"]), labels.index(cell["row"]), cell, colours)
    axes.set(xlim=(-0.5, len(tasks) - 0.5), ylim=(len(labels) - 0.5, -0.5))
    axes.set_xticks(range(len(tasks)), columns, rotation=SLANT, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(labelsize=9, length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    width = figure.get_figwidth()
    key = textwrap.fill(KEY, int(width / KEY_SIGN_WIDTH))
    figure.set_figheight(figure.get_figheight() + 0.14 * key.count("\n"))
    figure.supxlabel(key, fontsize=8.5, x=0.02, ha="left", color="#444444")
    # Over the whole figure: the axes of a small matrix are narrower than its title.
    axes.set_title("")
    figure.suptitle(literal(title, int(width / TITLE_SIGN_WIDTH)), x=0.02, ha="left", fontsize=12, fontweight="bold")
    bar = figure.colorbar(colours, ax=axes, fraction=0.04, pad=0.02, ticks=[1 / FURTHEST, 0.3, 1, 3, FURTHEST])
    bar.ax.set_yticklabels([f"≤ {1 / FURTHEST:g}", "0.3", "1", "3", f"≥ {FURTHEST:g}"], fontsize=9)
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
    return figure


def _row_label(cell: dict[Any, Any]) -> str:
    tuned = f" ({cell['track']})" if is_tuned(cell["track"]) else ""
    return _label(f"{cell['optimizer']}{tuned}", f"trained on {cell['trained_on']}")


def _label(*lines: str) -> str:
    return "\n".join(literal(line, LABEL_SIGNS) for line in lines)


def _widest(labels: Sequence[str]) -> int:
    return max(len(line) for label in labels for line in label.split("\n"))


def _draw_cell(axes: Axes, x: int, y: int, cell: dict[Any, Any], colours: ScalarMappable) -> None:
    lines: list[str] = []
    text_style: Style = {}
    if not np.isnan(cell["typical_ratio"]):
        colour = colours.to_rgba(cell["typical_ratio"])
        axes.add_patch(_box(x, y, facecolor=colour, edgecolor="white", linewidth=1))
        lines.append(format_two_digits(cell["typical_ratio"]))
        clear = cell["verdict"].partition(";")[0] in ("better", "worse")
        text_style = {"color": ink(colour), "fontweight": "bold" if clear else "normal"}
    if cell["failures"]:
        lines.append(f"{cell['failures']} failed")
    axes.text(x, y, "\n".join(lines), ha="center", va="center", fontsize=9, **text_style)
    if frame := FRAMES.get(cell["families"]):
        axes.add_patch(_box(x, y, 0.05, fill=False, zorder=3, **frame))


def _box(x: int, y: int, inset: float = 0.0, **style: Any) -> Rectangle:
    """The square of a cell, or a smaller one inside it."""
    length = 1 - 2 * inset
    return Rectangle((x - 0.5 + inset, y - 0.5 + inset), length, length, **style)
