"""The figure of starts: the final loss of every optimizer from every learned or random initialisation, as points."""

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from l2obench.reports.figures.canvas import WIDTH, legend, new_panels
from l2obench.reports.figures.drawing import Drawing, drawing
from l2obench.reports.figures.styles import Style

KIND = "starts"
EDGE = 0.98  # of an axis's height
SPREAD = 0.6  # of the way from one start to the next that the optimizers take up


def start_drawings(table: pd.DataFrame, styles: dict[str, Style]) -> list[Drawing]:
    """A figure for every family.

    Args:
        table: as `l2obench.reports.numbers.starts.starts` gives it.
        styles: as `l2obench.reports.figures.styles.line_styles` gives them.
    """
    found = []
    place = [name for name in ("run", "family") if name in table]
    for names, rows in table.groupby(place, sort=False):
        key = list(map(str, names))
        words = (
            f"Mean final loss from every start on {' in '.join(key[::-1])}, for {', '.join(rows['optimizer'].unique())}"
        )
        found.append(drawing(KIND, key, words, partial(start_figure, rows, dict(styles)), partial(rows.copy)))
    return found


def start_figure(table: pd.DataFrame, styles: dict[str, Style]) -> Figure:
    """A panel for each number of steps: starts side by side, a point with its interval for every rule.

    A rule that diverged on some function has an infinite mean, and an ∞ at the upper edge.

    Args:
        table: one family's rows, as `l2obench.reports.numbers.starts.starts` gives them.
        styles: one for each optimizer.
    """
    horizons = list(dict.fromkeys(table["steps"]))
    figure, panels = new_panels(1, len(horizons), WIDTH / len(horizons), 3.6)
    for axes, steps in zip(panels[0], horizons, strict=True):
        here = table[table["steps"] == steps]
        starts, rules = (list(dict.fromkeys(here[column])) for column in ("start", "optimizer"))
        for k, rule in enumerate(rules):
            rows = here[here["optimizer"] == rule]
            shift = SPREAD * ((k + 0.5) / len(rules) - 0.5)
            places = pd.Series([starts.index(start) + shift for start in rows["start"]], index=rows.index)
            style, ends = styles[str(rule)], np.isfinite(rows["mean_final_loss"])
            color, marker = style["color"], style["marker"]
            shown, edge = rows[ends], places[~ends]
            errors = [shown["mean_final_loss"] - shown["low"], shown["high"] - shown["mean_final_loss"]]
            axes.errorbar(places[ends], shown["mean_final_loss"], errors, fmt=marker, color=color, markersize=5)
            top: Style = {"fontsize": 8, "color": color, "ha": "center", "va": "top"}
            for x in edge.tolist():
                axes.text(x, EDGE, "∞", transform=axes.get_xaxis_transform(), **top)
        axes.set(yscale="log", ylabel="mean final loss, 95 % interval", title=f"{steps} steps", xlabel="start")
        axes.set_xticks(range(len(starts)), starts)
        axes.grid(visible=False, axis="x")
        axes.spines[["top", "right"]].set_visible(False)
    names = map(str, dict.fromkeys(table["optimizer"]))
    legend(figure, [(name, {**styles[name], "linestyle": "-"}) for name in names])
    return figure
