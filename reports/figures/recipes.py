"""The figures of recipes: one row for each, and maps where two settings make a grid."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from l2obench.reports.figures.canvas import (
    format_two_digits,
    ink,
    literal,
    new_figure,
    new_panels,
    ratio_colours,
    scale,
)
from l2obench.reports.figures.drawing import Drawing, drawing
from l2obench.reports.figures.styles import PALETTES, SURFACE, Style
from l2obench.reports.formats import format_number
from l2obench.reports.numbers.recipes import words

KIND, MAP_KIND = "recipes", "recipes-map"
LEAST_CELLS = 6
COLOUR = PALETTES["light"]["learned"][0]
"""Of a map; what is fewer are rows only."""
# Characters that fit on a line above a panel.
PANEL_SIGNS = 30


@dataclass(frozen=True)
class Map:
    """Ratios `[down, across]` over two settings, on one task and with the other settings that `label` says."""

    label: str
    task: str
    names: tuple[str, str]
    down: list[float]
    across: list[float]
    ratios: NDArray[np.float64]


def recipe_drawings(table: pd.DataFrame) -> list[Drawing]:
    """A figure for every rule on every task, and one of its maps over all tasks.

    Args:
        table: as `l2obench.reports.numbers.recipes.recipes` gives it.
    """
    found = []
    place = [name for name in ("run", "rule") if name in table]
    for names, rows in table.groupby(place, sort=False):
        key = list(map(str, names))
        about = f"{key[-1]} by its recipe" + (f" in {key[0]}" if len(key) > 1 else "")
        for task, here in rows.groupby("task", sort=False):
            if len(here) < 2:
                continue  # one recipe is nothing to compare
            words = f"Mean final loss divided by the best baseline's on {task}, {about}"
            make = partial(rows_figure, str(task), here)
            found.append(drawing(KIND, [*key, str(task)], words, make, partial(here.copy)))
        if panels := maps(rows):
            words = f"Maps of mean final losses divided by the best baseline's, {about}"
            found.append(drawing(MAP_KIND, key, words, partial(map_figure, panels), partial(map_numbers, panels)))
    return found


def rows_figure(task: str, rows: pd.DataFrame) -> Figure:
    """Ratio to the best baseline of every recipe, the best first; a line from its best to its worst training.

    Args:
        task: the title.
        rows: those of one rule on this task.
    """
    ordered = rows.sort_values("ratio", kind="stable").to_dict("records")
    figure, axes = new_figure(task, height=1.2 + 0.28 * len(ordered))
    for place, row in enumerate(ordered):
        axes.plot([row["lowest"], row["highest"]], [place] * 2, color=COLOUR, linewidth=2)
        axes.plot(row["ratio"], place, "o", color=COLOUR, markeredgecolor=SURFACE)
    axes.axvline(1, color="#222222", linewidth=1)
    scale(axes.set_xscale, [np.array([row["lowest"], row["highest"], 1.0]) for row in ordered])
    axes.set_yticks(range(len(ordered)), [literal(words(row["settings"]), 60) for row in ordered], fontsize=8)
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.set_xlabel("mean final loss, learned ÷ best baseline (point: all trainings, line: single ones)")
    return figure


def maps(rows: pd.DataFrame) -> list[Map]:
    """A map for each task and each of the other settings, over the first two settings that are numbers.

    None where no two settings of the table, each with three values at least, are crossed.

    Args:
        rows: those of one rule in the table of recipes, on any number of tasks.
    """
    settings = pd.DataFrame([json.loads(text) for text in rows["settings"]], index=rows.index)
    numeric = [name for name in settings if _is_number(settings[name]) and settings[name].nunique() > 2]
    if len(numeric) < 2:
        return []
    down, across = map(str, numeric[:2])
    others = settings.drop(columns=[down, across]).astype(object)
    labels = [words(json.dumps(row)) for row in others.where(others.notna(), None).to_dict("records")]
    found = []
    for (label, task), part in rows.assign(label=labels).groupby(["label", "task"], sort=False):
        grid = part["ratio"].groupby([settings[down], settings[across]]).first().unstack()
        if grid.notna().all(axis=None) and grid.size >= LEAST_CELLS:
            ratios = grid.to_numpy(dtype=np.float64)
            rows_at, columns_at = (axis.to_numpy(dtype=np.float64).tolist() for axis in (grid.index, grid.columns))
            found.append(Map(str(label), str(task), (down, across), rows_at, columns_at, ratios))
    return found


def map_numbers(panels: Sequence[Map]) -> pd.DataFrame:
    """The ratio of every cell, with the settings that it stands for.

    Args:
        panels: those of one rule.
    """
    rows = [
        {"task": panel.task, "other_settings": panel.label}
        | {panel.names[0]: panel.down[y], panel.names[1]: panel.across[x], "ratio": float(ratio)}
        for panel in panels
        for (y, x), ratio in np.ndenumerate(panel.ratios)
    ]
    return pd.DataFrame(rows)


def map_figure(panels: Sequence[Map]) -> Figure:
    """Ratios as colours and numbers: a row of panels for each of the other settings, a column for each task.

    Args:
        panels: those of one rule; a combination of label and task that has none stays empty.
    """
    labels, tasks = (list(dict.fromkeys(names)) for names in zip(*((p.label, p.task) for p in panels), strict=True))
    figure, grid = new_panels(len(labels), len(tasks))
    for axes in grid.flat:
        axes.set_visible(False)
    for panel in panels:
        axes = grid[labels.index(panel.label)][tasks.index(panel.task)]
        axes.set_visible(True)
        colours = ratio_colours().to_rgba(panel.ratios)
        axes.imshow(colours, aspect="auto", origin="lower")
        for (y, x), ratio in np.ndenumerate(panel.ratios):
            style: Style = {"ha": "center", "va": "center", "fontsize": 8, "color": ink(colours[y, x])}
            axes.text(x, y, format_two_digits(ratio), **style)
        axes.set_xticks(range(len(panel.across)), [format_number(value) for value in panel.across])
        axes.set_yticks(range(len(panel.down)), [format_number(value) for value in panel.down])
        axes.grid(visible=False)
        names = [literal(name, PANEL_SIGNS) for name in (panel.task, panel.label) if name]
        axes.set_title("\n".join(names), fontsize=9)
        axes.set(ylabel=panel.names[0].replace("_", " "), xlabel=panel.names[1].replace("_", " "))
    return figure


def _is_number(values: "pd.Series[Any]") -> bool:
    return all(isinstance(value, int | float) and value == value and not isinstance(value, bool) for value in values)
