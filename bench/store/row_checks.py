"""What rows of results must be like whoever wrote them: readers of a run count on it, and do not ask again."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.store.schemas import CELL_KEY, STATUSES, Kind

# Columns that no reader can do without.
NEEDED: dict[Kind, list[str]] = {
    "cells": [*CELL_KEY, "seed", "status"],
    "tuning": ["task", "optimizer"],
    "trials": ["task", "optimizer", "track", "trial", "pool", "seed", "status"],
    "timing": ["task", "optimizer"],
    "pictures": ["task", "optimizer", "track", "seed", "png"],
    "heldout": ["task", "optimizer", "track", "seed", "metric", "steps", "values"],
}
# What one task's rows have in common, whatever ran on it: losses are compared step by step.
COMMON = ["steps", "final_window"]
COUNTS = ["steps", "final_window", "failed_step", "forward_passes", "backward_passes", "tuning_passes", "state_bytes"]
COUNTS += ["trial"]
SECONDS = ["grad_seconds", "grad_seconds_q25", "grad_seconds_q75"]
SECONDS += ["update_seconds", "update_seconds_q25", "update_seconds_q75"]
# Far above any run; what reads such a number counts up to it.
MOST_STEPS = 10**9


def require_rows(frame: pd.DataFrame, kind: Kind) -> None:
    """Refuse rows that the runner cannot have written.

    Args:
        frame: the rows of one file.
        kind: of the file.

    Raises:
        ValueError: what is wrong, in one line.

    Example:
        >>> require_rows(pd.DataFrame({"task": ["quadratic"], "optimizer": [None]}), "timing")
        Traceback (most recent call last):
        ValueError: rows must have a value of optimizer
    """
    for name in NEEDED.get(kind, NEEDED["timing"]):
        if frame[name].isna().any():
            raise ValueError(f"rows must have a value of {name}")
    if kind == "heldout":
        _require_curves(frame)
        return
    for name in COUNTS:
        _require_numbers(frame, name, lambda found: (found >= 0) & (found % 1 == 0), "whole numbers from 0 on")
    for name in SECONDS:
        _require_numbers(frame, name, lambda found: (found >= 0) & np.isfinite(found), "a positive number")
    if kind == "cells":
        _require_cells(frame)


def require_single_seeds(cells: pd.DataFrame) -> None:
    """Refuse a run in which a seed of a cell is there twice, as after a file was copied: it would count twice.

    Args:
        cells: all rows of the run.

    Raises:
        ValueError: which one, in one line.
    """
    twice = cells[cells.duplicated([*CELL_KEY, "seed"])]
    if len(twice):
        row = twice.iloc[0]
        raise ValueError(f"seed {row['seed']} of {' '.join(str(row[name]) for name in CELL_KEY)} is there twice")


def _require_cells(frame: pd.DataFrame) -> None:
    if unknown := sorted(set(frame["status"]) - set(STATUSES)):
        raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {unknown[0]!r}")
    _require_numbers(frame, "steps", lambda found: found <= MOST_STEPS, f"at most {MOST_STEPS:,}")
    _require_numbers(frame, "final_window", lambda found: found >= 1, "1 or more")
    for name in COMMON:
        if (frame.groupby("task")[name].nunique() > 1).any():
            raise ValueError(f"{name} must be the same in all rows of a task")
    known = frame[frame["loss"].notna()]
    if (known["loss"].map(len) != known["steps"] + 1).any():
        raise ValueError("loss must have a value for the start and for each of the steps")
    for text in frame["hyperparameters"].dropna().unique():
        if not isinstance(_parse(text), dict):
            raise ValueError(f"hyperparameters must be a JSON object, got {text[:80]!r}")


def _require_curves(frame: pd.DataFrame) -> None:
    """Refuse held-out metrics whose steps are no growing whole numbers, or do not belong to their values."""
    for row in frame.to_dict("records"):
        steps, values = np.asarray(row["steps"], dtype=float), np.asarray(row["values"])
        if steps.ndim != 1 or steps.shape != values.shape:
            raise ValueError(f"{row['metric']} of {row['optimizer']} on {row['task']} must have a value for each step")
        if not ((steps >= 0) & (steps <= MOST_STEPS) & (steps % 1 == 0)).all() or (np.diff(steps) <= 0).any():
            raise ValueError(f"steps of {row['optimizer']} on {row['task']} must be growing whole numbers from 0 on")


def _require_numbers(frame: pd.DataFrame, name: str, holds: Callable[[Any], Any], what: str) -> None:
    """Refuse values of a column that are there and not as they must be."""
    if name in frame:
        found = frame[frame[name].notna()]
        wrong = found[~np.asarray(holds(found[name].to_numpy()), dtype=bool)]
        if len(wrong):
            row = wrong.iloc[0]
            raise ValueError(f"{name} of {row['optimizer']} on {row['task']} must be {what}, got {row[name]:g}")


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
