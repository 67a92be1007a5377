"""Final losses of every optimizer on every task, with 95 % intervals; no failed seed is left out."""

import json
from typing import Any

import numpy as np
import pandas as pd

from l2obench.reports.cells.table import CELL, CellRows, CellTable, table_of_cells
from l2obench.reports.numbers.counting import compute_mean_loss, counted_heldout, iqm, table_of


def final_losses(cells: pd.DataFrame | CellTable) -> pd.DataFrame:
    """Final losses of every (task, optimizer, track), with 95 % bootstrap intervals; a task's lowest mean first.

    Args:
        cells: rows of one run or several.
    """
    columns = ["task", "optimizer", "track", "learned", "lr", "seeds", "failures", "mean_final_loss", "low", "high"]
    columns += ["iqm_final_loss", "heldout_loss", "heldout_accuracy", "uses"]
    rows: list[dict[str, Any]] = []
    for task in table_of_cells(cells).tasks:
        here = [cell.key(*CELL) | _final_loss(cell) for cell in task.cells]
        rows += sorted(here, key=lambda row: (row["mean_final_loss"], row["failures"], row["optimizer"], row["track"]))
    return table_of(cells, columns, rows)


def _final_loss(rows: CellRows) -> dict[str, Any]:
    mean = compute_mean_loss(rows)
    return {
        "seeds": len(rows),
        "failures": rows.failures,
        "learned": rows.learned,
        "lr": _learning_rate(rows.first("hyperparameters")),
        "mean_final_loss": mean.estimate,
        "low": mean.low,
        "high": mean.high,
        "iqm_final_loss": iqm(rows),
        "uses": rows.uses,
        "heldout_loss": counted_heldout(rows, "heldout_loss", np.inf),
        "heldout_accuracy": counted_heldout(rows, "heldout_accuracy", 0.0),
    }


def _learning_rate(hyperparameters: str) -> float:
    try:
        return float(json.loads(hyperparameters)["lr"])
    except (ValueError, KeyError, TypeError):
        return np.nan
