"""The figure of amortization: what all uses so far have cost, meta-training and tuning included."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from l2obench.bench.store.run_folder import cell_name
from l2obench.reports.figures.canvas import Style, legend, new_figure, save, theme
from l2obench.reports.figures.curves import Drawn
from l2obench.reports.formats import one_line
from l2obench.reports.numbers.amortization import EACH, EVALUATIONS, ONCE, SECONDS

KIND = "amortization"
DASHES = {ONCE: (0, (1, 1)), EACH: (0, (4, 2))}
USES = np.geomspace(1, 1e6, 121)


def draw_amortization(table: pd.DataFrame, styles: dict[str, Style], folder: Path) -> list[Drawn]:
    """Draw the costs on every task into a folder, in both units, as .svg, .png and .pdf.

    Of several learned optimizers on a task only the one that has paid after the fewest uses is drawn.

    Args:
        table: as `l2obench.reports.numbers.amortization.amortization` gives it.
        styles: the look of each optimizer, as `l2obench.reports.figures.curves.line_styles` gives it.
        folder: an existing folder.
    """
    drawn = []
    keys = [name for name in ("run", "task", "optimizer", "unit") if name in table]
    for names, rows in _soonest(table).groupby(keys, sort=False):
        key = dict(zip(keys, map(str, names), strict=True))
        if rows[["meta_training_cost", "baseline_run_cost"]].isna().any(axis=None):
            continue
        title = key["task"] + (f" in {key['run']}" if "run" in key else "")
        path = folder / cell_name(KIND, *key.values())
        with theme():
            save(amortization_figure(title, rows.to_dict("records"), styles), path)
        words = (
            f"Cost of all uses so far on {title} in {key['unit']}, {key['optimizer']} and {rows['baseline'].iloc[0]}"
        )
        drawn.append(Drawn(KIND, path, one_line(words)))
    return drawn


def _soonest(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the learned optimizer with the least break-even of its task, in any unit, however tuned."""
    place = [name for name in ("run", "task") if name in table]
    least = table.groupby([*place, "optimizer"], sort=False)["break_even"].min().reset_index()
    chosen = least.sort_values("break_even", kind="stable").drop_duplicates(place)
    return table.merge(chosen[[*place, "optimizer"]])


def amortization_figure(title: str, rows: list[dict[Any, Any]], styles: dict[str, Style]) -> Figure:
    """Cost over uses, both logarithmic: the learned optimizer, and the baseline tuned once and each time.

    A learned optimizer that does not get to the baseline's loss has no line.
    """
    figure, axes = new_figure(title)
    first = rows[0]
    entries: list[tuple[str, Style]] = []

    def line(label: str, costs: Any, style: Style) -> None:
        axes.plot(USES, costs, **style)
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
    unit = {EVALUATIONS: "gradient evaluations", SECONDS: "seconds, serially"}[first["unit"]]
    axes.set(xscale="log", yscale="log", xlabel="functions brought to the baseline's final loss", ylabel=unit)
    legend(figure, entries)
    return figure
