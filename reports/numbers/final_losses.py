"""Final losses of every optimizer on every task, with 95 % intervals; no failed seed is left out."""

import json
from typing import Any

import numpy as np
import pandas as pd

from l2obench.reports.classes import class_of_rows
from l2obench.reports.numbers.counting import (
    compute_mean_loss,
    count_failed,
    counted_heldout,
    groups,
    iqm,
    is_learned,
    table_of,
)


def final_losses(cells: pd.DataFrame) -> pd.DataFrame:
    """Final losses of every (task, optimizer, track), with 95 % bootstrap intervals; a task's lowest mean first.

    Args:
        cells: rows of one run or several.
    """
    columns = ["task", "optimizer", "track", "learned", "lr", "seeds", "failures", "mean_final_loss", "low", "high"]
    columns += ["iqm_final_loss", "heldout_loss", "heldout_accuracy", "uses"]
    rows: list[dict[str, Any]] = []
    for _, task in groups(cells, "task"):
        here = [key | _final_loss(seeds) for key, seeds in groups(task, "task", "optimizer", "track")]
        rows += sorted(here, key=lambda row: (row["mean_final_loss"], row["failures"], row["optimizer"], row["track"]))
    return table_of(cells, columns, rows)


def _final_loss(rows: pd.DataFrame) -> dict[str, Any]:
    mean = compute_mean_loss(rows)
    return {
        "seeds": len(rows),
        "failures": count_failed(rows),
        "learned": is_learned(rows),
        "lr": _learning_rate(rows["hyperparameters"].iloc[0]),
        "mean_final_loss": mean.estimate,
        "low": mean.low,
        "high": mean.high,
        "iqm_final_loss": iqm(rows),
        "uses": class_of_rows(rows),
        "heldout_loss": counted_heldout(rows, "heldout_loss", np.inf),
        "heldout_accuracy": counted_heldout(rows, "heldout_accuracy", 0.0),
    }


def _learning_rate(hyperparameters: str) -> float:
    try:
        return float(json.loads(hyperparameters)["lr"])
    except (ValueError, KeyError, TypeError):
        return np.nan
