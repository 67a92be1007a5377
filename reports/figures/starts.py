"""Learned rules against learned initialisations: the final loss of every rule from every start, as points.

NAME=rule-or-initialisation; python -m l2obench.reports.figures.starts results/reference/$NAME docs/images/$NAME.png
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from l2obench.bench.config.identity import parse_identity
from l2obench.reports.figures.canvas import PNG_DPI, new_panels, theme
from l2obench.reports.numbers.tables import final_losses
from l2obench.reports.reading import read_results

RANDOM = "random"
COLORS = ["#9aa7b8", "#6b7a8f", "#1f6f8b", "#7b3fa0", "#e3a008", "#c1440e", "#4d8b31", "#222222"]
EDGE = 0.98  # of an axis's height
SPREAD = 0.6  # of the way from one start to the next that the rules take up


def by_start(cells: pd.DataFrame) -> pd.DataFrame:
    """Mean final losses with their 95 % intervals: `steps`, `start`, `optimizer`, `track`, `mean`, `low`, `high`.

    A task's start is its parameter of that name, `random` where it has none. Rows are in the order of the cells.
    """
    order = {key: k for k, key in enumerate(dict.fromkeys(_keys(cells)))}
    table = final_losses(cells).rename(columns={"mean_final_loss": "mean"})
    table = table.assign(
        start=[parse_identity(task)[1].get("start") or RANDOM for task in table["task"]],
        steps=table["task"].map(cells.drop_duplicates("task").set_index("task")["steps"]),
        place=[order[key] for key in _keys(table)],
    )
    wanted = ["steps", "start", "optimizer", "track", "mean", "low", "high"]
    return table.sort_values(["steps", "place"])[wanted].reset_index(drop=True)


def start_figure(table: pd.DataFrame) -> Figure:
    """A panel for each number of steps: starts side by side, a point with its interval for every rule.

    A rule that diverged on some function has an infinite mean, and a triangle at the upper edge.

    Args:
        table: as `by_start` gives it.
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
            color, ends = COLORS[k % len(COLORS)], np.isfinite(rows["mean"])
            shown, edge = rows[ends], places[~ends]
            errors = [shown["mean"] - shown["low"], shown["high"] - shown["mean"]]
            axes.errorbar(places[ends], shown["mean"], errors, fmt="o", color=color, markersize=5, label=rule)
            axes.plot(edge, [EDGE] * len(edge), "^", color=color, transform=axes.get_xaxis_transform())
        axes.set(yscale="log", ylabel="mean final loss, 95 %", title=f"{steps} steps", xlabel="start")
        axes.set_xticks(range(len(starts)), starts)
        axes.grid(visible=False, axis="x")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=8.5)
    return figure


def _keys(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(frame[["task", "optimizer", "track"]].itertuples(index=False, name=None))


if __name__ == "__main__":
    found = by_start(read_results([sys.argv[1]]).cells)
    print(found.round(4).to_string(index=False))
    with theme():
        start_figure(found).savefig(Path(sys.argv[2]), dpi=PNG_DPI)
