"""Every optimizer against tuned Adam, a fixed reference: how probably it ends lower, and how much faster it is."""

from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.stats import REFERENCE, compare_losses, holm, median
from l2obench.reports.cells.table import CELL, CellRows, CellTable, table_of_cells
from l2obench.reports.floors import floor_of
from l2obench.reports.numbers.comparison import paired
from l2obench.reports.numbers.counting import groups, table_of
from l2obench.reports.numbers.reference import main_tracks, reference, speed_ups

COLUMNS = ["task", "optimizer", "track", "learned", "seeds", "failure_rate", "probability", "low", "high"]
COLUMNS += ["speed_up", "speed_up_low", "speed_up_high", "never_matched", "p_value"]


def against_adam(cells: pd.DataFrame | CellTable) -> pd.DataFrame:
    """Every optimizer of a task against tuned Adam on the seeds that both ran; no row depends on any third optimizer.

    `probability`: that it ends lower on a function drawn at random, with its 95 % interval. `speed_up`: steps that Adam
    needs for the same loss over the steps taken, the median over seeds with its 95 % interval; infinite where Adam does
    not get there within its horizon, and `never_matched` is the share of seeds where that is so. `failure_rate` is over
    all of the optimizer's seeds. `p_value`: Wilcoxon's signed-rank test, adjusted by Holm's method for the number of
    tasks on which this optimizer is compared, not for the number of optimizers.

    Args:
        cells: rows of one run or several.
    """
    rows: list[dict[str, Any]] = []
    for task in table_of_cells(cells).tasks:
        if (adam := reference(task)) is None:
            continue
        others = (own for own in main_tracks(task) if own.optimizer != REFERENCE)
        rows += [own.key(*CELL) | _about(own) | _against(own, adam) for own in others]
    table = table_of(cells, COLUMNS, rows)
    for _, compared in groups(table, "optimizer", "track"):
        table.loc[compared.index, "p_value"] = holm(compared["p_value"].astype(float))
    return table


def _about(rows: CellRows) -> dict[str, Any]:
    return {"learned": rows.learned, "failure_rate": rows.failures / len(rows)}


def _against(rows: CellRows, adam: CellRows) -> dict[str, Any]:
    own, other = paired(rows, adam)
    if not len(own):
        return {"seeds": 0}
    found = compare_losses(own.losses, other.losses, floor_of(own, other))
    better = found.win_rate
    factors = speed_ups(rows, adam)
    faster = median(factors)
    return {
        "seeds": len(own),
        "probability": better.estimate,
        "low": better.low,
        "high": better.high,
        "speed_up": faster.estimate,
        "speed_up_low": max(0.0, faster.low),
        "speed_up_high": faster.high,
        "never_matched": float(np.isposinf(factors).mean()),
        "p_value": found.p_value,
    }
