"""The figure of amortization: what all uses so far have cost, meta-training and tuning included."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from l2obench.reports.figures.canvas import legend, new_figure, plot_line
from l2obench.reports.figures.drawing import Drawing, drawing
from l2obench.reports.figures.styles import Style
from l2obench.reports.figures.ticks import time_ticks
from l2obench.reports.numbers.amortization import EACH, EVALUATIONS, ONCE, SECONDS

KIND = "amortization"
DASHES = {ONCE: (0, (1, 1)), EACH: (0, (4, 2))}
# Numbers of uses at which costs are drawn, 20 a decade: even on a logarithmic axis.
USES = np.geomspace(1, 1e6, 121)


def amortization_drawings(table: pd.DataFrame, styles: dict[str, Style]) -> list[Drawing]:
    """The costs on every task, a figure for each unit.

    Of several learned optimizers on a task only the one that has paid after the fewest uses is drawn.

    Args:
        table: as `l2obench.reports.numbers.amortization.amortization` gives it.
        styles: the line style of each optimizer, as `l2obench.reports.figures.styles.line_styles` gives it.
    """
    found = []
    keys = [name for name in ("run", "task", "optimizer", "unit") if name in table]
    for names, rows in _soonest(table).groupby(keys, sort=False):
        key = dict(zip(keys, map(str, names), strict=True))
        if rows[["meta_training_cost", "baseline_run_cost"]].isna().any(axis=None):
            continue
        title = key["task"] + (f" in {key['run']}" if "run" in key else "")
        words = (
            f"Total cost in {key['unit']} against the number of uses on {title}, for {key['optimizer']} and "
            f"{rows['baseline'].iloc[0]}"
        )
        make = partial(amortization_figure, title, rows.to_dict("records"), styles)
        found.append(drawing(KIND, list(key.values()), words, make, partial(rows.copy)))
    return found


def _soonest(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the learned optimizer with the least break-even of its task, in any unit, however tuned."""
    place = [name for name in ("run", "task") if name in table]
    least = table.groupby([*place, "optimizer"], sort=False)["break_even"].min().reset_index()
    chosen = least.sort_values("break_even", kind="stable").drop_duplicates(place)
    return table.merge(chosen[[*place, "optimizer"]])


def amortization_figure(title: str, rows: list[dict[Any, Any]], styles: dict[str, Style]) -> Figure:
    """Cost over uses, both logarithmic: the learned optimizer, and the baseline tuned once and each time.

    A learned optimizer that does not get to the baseline's loss has no line.

    Args:
        title: the task, and the run where there are several.
        rows: those of one learned optimizer, task and unit: tuned once and each time.
        styles: the line style of each optimizer.
    """
    figure, axes = new_figure(title)
    first = rows[0]
    entries: list[tuple[str, Style]] = []

    def line(label: str, costs: Any, style: Style) -> None:
        plot_line(axes, USES, costs, style)
        entries.append((label, style))

    if np.isfinite(first["learned_run_cost"]):
        costs = first["meta_training_cost"] + USES * first["learned_run_cost"]
        line(first["optimizer"], costs, styles[first["optimizer"]])
    for row in rows:
        once = row["tuned"] == ONCE
        costs = row["tuning_cost"] * (1 if once else USES) + USES * row["baseline_run_cost"]
        label = f"{row['baseline']}, tuned {row['tuned']}"
        line(label, costs, {**styles[row["baseline"]], "linestyle": DASHES[row["tuned"]]})
        if np.isfinite(row["break_even"]):
            even = row["break_even"]
            mark = first["meta_training_cost"] + even * first["learned_run_cost"]
            axes.plot([even], [mark], "o", color="#222222", markersize=5, zorder=5)
    unit = {EVALUATIONS: "total cost, gradient evaluations", SECONDS: "total cost, wall-clock time"}[first["unit"]]
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="number of uses (functions brought to the baseline's final loss)",
        ylabel=unit,
    )
    if first["unit"] == SECONDS:
        time_ticks(axes.yaxis)
    legend(figure, entries)
    return figure
