"""The figure of the transfer matrix: tasks by learned optimizers, those that each was trained on framed."""

import textwrap
from collections.abc import Iterator
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
    QUIET,
    WIDTH,
    format_two_digits,
    ink,
    literal,
    new_figure,
    ratio_colours,
)
from l2obench.reports.figures.drawing import Drawing, drawing
from l2obench.reports.figures.styles import Style
from l2obench.reports.numbers.familiarity import KIN, TRAINED, name_family
from l2obench.reports.numbers.generalization import UNKNOWN

KIND = "transfer"
LEAST = 2
"""Learned optimizers, and tasks, that a matrix has at least."""
MOST_ROWS, MOST_COLUMNS = 24, 8
"""Tasks and optimizers that a page is read with. A larger matrix has several figures."""
CELL_WIDTH, CELL_HEIGHT = 0.85, 0.27
LABEL_SIGNS = 44
FRAMES: dict[str, Style] = {
    TRAINED: {"edgecolor": "black", "linewidth": 2.0},
    KIN: {"edgecolor": "black", "linewidth": 1.3, "linestyle": (0, (3, 2))},
}
KEY = (
    "Typical ratio of final losses, learned ÷ best baseline: below 1 the learned optimizer is better. Solid frame: it "
    "was trained on this task. Dashed frame: it was trained on the same family with other parameters. Bold: the "
    "verdict is better or worse. Where seeds failed, their number stands behind. Hatched: it did not run, or cannot be "
    "compared."
)
KEY_SIGNS = 118


def transfer_drawings(table: pd.DataFrame) -> list[Drawing]:
    """The matrix of each run with two learned optimizers and two tasks at least, as many figures as it needs.

    Args:
        table: as `l2obench.reports.numbers.generalization.generalization` gives it.
    """
    found = []
    for key, rows in table.groupby("run", sort=False) if "run" in table else [("", table)]:
        run = str(key)
        if min(rows["optimizer"].nunique(), rows["task"].nunique()) < LEAST:
            continue
        where = f" in {run}" if run else ""
        pages = list(paged(rows))
        for place, page in enumerate(pages, 1):
            names = ", ".join(dict.fromkeys(page["optimizer"]))
            part = f", {place} of {len(pages)}" if len(pages) > 1 else ""
            words = f"Typical final loss divided by the best baseline's, by task{where}{part}, for {names}"
            title = f"Final loss, learned ÷ best baseline{where}{part}"
            name = [*([run] if run else []), *([str(place)] if len(pages) > 1 else [])]
            found.append(drawing(KIND, name, words, partial(transfer_figure, title, page), partial(page.copy)))
    return found


def paged(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of one figure after the other: whole families together where they fit, in the order of the tasks.

    Args:
        rows: those of one run in the table of generalization.
    """
    families: dict[str, list[str]] = {}
    for task in dict.fromkeys(rows["task"]):
        families.setdefault(name_family(task), []).append(task)
    pages: list[list[str]] = [[]]
    for tasks in families.values():
        if pages[-1] and len(pages[-1]) + len(tasks) > MOST_ROWS:
            pages.append([])
        for task in tasks:
            if len(pages[-1]) == MOST_ROWS:
                pages.append([])
            pages[-1].append(task)
    columns = list(dict.fromkeys(map(_label_of, rows.to_dict("records"))))
    of_row = rows.apply(lambda row: _label_of(row.to_dict()), axis=1)
    for tasks in pages:
        for first in range(0, len(columns), MOST_COLUMNS):
            page = rows[rows["task"].isin(tasks) & of_row.isin(columns[first : first + MOST_COLUMNS])]
            if len(page):
                yield page.iloc[np.argsort([tasks.index(task) for task in page["task"]], kind="stable")]


def transfer_figure(title: str, rows: pd.DataFrame) -> Figure:
    """Tasks by learned optimizers, in the order of the rows; colours are on a logarithmic scale around 1.

    Args:
        title: wrapped to the width of the figure.
        rows: those of one figure in the table of generalization.
    """
    labelled = rows.assign(column=[_label_of(row) for row in rows.to_dict("records")])
    columns, tasks = list(dict.fromkeys(labelled["column"])), list(dict.fromkeys(rows["task"]))
    tasks_signs = min(LABEL_SIGNS, max(map(len, tasks)))
    headings = [f"{chr(ord('A') + place)}  {name}" for place, name in enumerate(columns)]
    key = [*(line for name in headings for line in textwrap.wrap(name, KEY_SIGNS)), "", *textwrap.wrap(KEY, KEY_SIGNS)]
    figure, axes = new_figure("", height=1.0 + CELL_HEIGHT * len(tasks) + 0.13 * len(key))
    colours = ratio_colours()
    for y in range(len(tasks)):
        for x in range(len(columns)):
            axes.add_patch(_box(x, y, facecolor="#f4f4f4", edgecolor="#bbbbbb", hatch="////", linewidth=0))
    for cell in labelled.to_dict("records"):
        _draw_cell(axes, columns.index(cell["column"]), tasks.index(cell["task"]), cell, colours)
    # Two columns need not fill the width of a page.
    room = WIDTH - 0.07 * tasks_signs - 1.5
    axes.set(xlim=(-0.5, max(len(columns), room / CELL_WIDTH) - 0.5), ylim=(len(tasks) - 0.5, -0.5))
    axes.set_xticks(range(len(columns)), [heading[0] for heading in headings], fontweight="bold")
    axes.set_yticks(range(len(tasks)), [literal(task, LABEL_SIGNS) for task in tasks])
    axes.tick_params(labelsize=8, length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    figure.supxlabel("\n".join(key), fontsize=7.5, x=0.02, ha="left", color=QUIET)
    figure.suptitle(literal(title, 70), x=0.02, ha="left", fontsize=10, fontweight="bold")
    bar = figure.colorbar(colours, ax=axes, fraction=0.04, pad=0.02, ticks=[1 / FURTHEST, 0.3, 1, 3, FURTHEST])
    bar.ax.set_yticklabels([f"≤ {1 / FURTHEST:g}", "0.3", "1", "3", f"≥ {FURTHEST:g}"], fontsize=8)
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
    return figure


def _label_of(cell: dict[Any, Any]) -> str:
    tuned = f" ({cell['track']})" if is_tuned(cell["track"]) else ""
    about = "training not recorded" if cell["trained_on"] == UNKNOWN else f"trained on {cell['trained_on']}"
    return literal(f"{cell['optimizer']}{tuned}, {about}", 10 * KEY_SIGNS)


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
        lines.append(f"({cell['failures']} failed)" if lines else f"{cell['failures']} failed")
    axes.text(x, y, " ".join(lines), ha="center", va="center", fontsize=8 if len(lines) < 2 else 6.5, **text_style)
    if frame := FRAMES.get(cell["families"]):
        axes.add_patch(_box(x, y, 0.05, fill=False, zorder=3, **frame))


def _box(x: int, y: int, inset: float = 0.0, **style: Any) -> Rectangle:
    """The square of a cell, or a smaller one inside it."""
    length = 1 - 2 * inset
    return Rectangle((x - 0.5 + inset, y - 0.5 + inset), length, length, **style)
