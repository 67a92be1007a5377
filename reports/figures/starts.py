"""The figure of starts: the final loss of every optimizer from every learned or random initialisation, as points."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from l2obench.reports.figures.canvas import new_panels
from l2obench.reports.figures.drawing import Drawing, drawing

KIND = "starts"
COLORS = ["#9aa7b8", "#6b7a8f", "#1f6f8b", "#7b3fa0", "#e3a008", "#c1440e", "#4d8b31", "#222222"]
EDGE = 0.98  # of an axis's height
SPREAD = 0.6  # of the way from one start to the next that the optimizers take up


def start_drawings(table: pd.DataFrame) -> list[Drawing]:
    """A figure for every family.

    Args:
        table: as `l2obench.reports.numbers.starts.starts` gives it.
    """
    found = []
    place = [name for name in ("run", "family") if name in table]
    for names, rows in table.groupby(place, sort=False):
        key = list(map(str, names))
        words = (
            f"Mean final loss from every start on {' in '.join(key[::-1])}, for {', '.join(rows['optimizer'].unique())}"
        )
        found.append(drawing(KIND, key, words, partial(start_figure, rows)))
    return found


def start_figure(table: pd.DataFrame) -> Figure:
    """A panel for each number of steps: starts side by side, a point with its interval for every rule.

    A rule that diverged on some function has an infinite mean, and a triangle at the upper edge.

    Args:
        table: one family's rows, as `l2obench.reports.numbers.starts.starts` gives them.
    """
    horizons = list(dict.fromkeys(table["steps"]))
    figure, panels = new_panels(1, len(horizons), 5.2, 5.4)
    for axes, steps in zip(panels[0], horizons, strict=True):
        here = table[table["steps"] == steps]
        starts, rules = (list(dict.fromkeys(here[column])) for column in ("start", "optimizer"))
        for k, rule in enumerate(rules):
            rows = here[here["optimizer"] == rule]
            shift = SPREAD * ((k + 0.5) / len(rules) - 0.5)
            places = pd.Series([starts.index(start) + shift for start in rows["start"]], index=rows.index)
            color, ends = COLORS[k % len(COLORS)], np.isfinite(rows["mean_final_loss"])
            shown, edge = rows[ends], places[~ends]
            errors = [shown["mean_final_loss"] - shown["low"], shown["high"] - shown["mean_final_loss"]]
            axes.errorbar(
                places[ends], shown["mean_final_loss"], errors, fmt="o", color=color, markersize=5, label=rule
            )
            axes.plot(edge, [EDGE] * len(edge), "^", color=color, transform=axes.get_xaxis_transform())
        axes.set(yscale="log", ylabel="mean final loss, 95 % interval", title=f"{steps} steps", xlabel="start")
        axes.set_xticks(range(len(starts)), starts)
        axes.grid(visible=False, axis="x")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=8.5)
    return figure
