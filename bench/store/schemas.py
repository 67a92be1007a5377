"""The columns of results files, and what their values mean. `docs/architecture.md` lists them for readers."""

from typing import Literal

import pyarrow as pa

# Written into every manifest and file. A change of columns or meanings that readers must know of raises it.
FORMAT = 1
Kind = Literal["cells", "tuning", "trials", "timing", "pictures", "heldout"]
"""The kinds of files of a run, each in a folder of that name."""
CELL_KEY = ["task", "optimizer", "track"]
"""Columns that together name a cell, in the order of its identity."""
STEP_TIMES = ["grad_seconds", "update_seconds"]
"""Columns of `timing` and `cells` with the seconds of both halves of a step."""
STATUSES = ("ok", "diverged", "error", "timeout")
UNEXPECTED = ("error", "timeout")
"""Statuses of rows without a result; the others are `ok` and `diverged`."""

_TEXT, _FLOAT, _INT = pa.string(), pa.float64(), pa.int64()
SCHEMAS: dict[Kind, pa.Schema] = {
    "cells": pa.schema(
        {
            "task": _TEXT,
            "task_version": _INT,
            "optimizer": _TEXT,
            "optimizer_version": _INT,
            "checkpoint_sha256": _TEXT,
            "learned": pa.bool_(),
            "track": _TEXT,
            "hyperparameters": _TEXT,
            "seed": _INT,
            "status": _TEXT,
            "reason": _TEXT,
            "failed_step": _INT,
            "steps": _INT,
            "final_window": _INT,
            "loss": pa.list_(pa.float32()),
            "final_loss": _FLOAT,
            "heldout_loss": _FLOAT,
            "heldout_accuracy": _FLOAT,
            "heldout_metrics": _TEXT,
            "grad_seconds": _FLOAT,
            "update_seconds": _FLOAT,
            "forward_passes": _INT,
            "backward_passes": _INT,
            "tuning_passes": _INT,
            "state_bytes": _INT,
            "function_sha256": _TEXT,
            "floor": _FLOAT,
            "repeats": pa.bool_(),
        }
    ),
    "tuning": pa.schema(
        {
            "task": _TEXT,
            "optimizer": _TEXT,
            "lr": _FLOAT,
            "seed": _INT,
            "status": _TEXT,
            "failed_step": _INT,
            "steps": _INT,
            "final_loss": _FLOAT,
            "chosen": pa.bool_(),
            "at_edge": pa.bool_(),
        }
    ),
    "trials": pa.schema(
        {
            "task": _TEXT,
            "optimizer": _TEXT,
            "track": _TEXT,
            "trial": _INT,
            "hyperparameters": _TEXT,
            "pool": _TEXT,
            "seed": _INT,
            "status": _TEXT,
            "failed_step": _INT,
            "steps": _INT,
            "final_loss": _FLOAT,
            "heldout_loss": _FLOAT,
            "chosen": pa.bool_(),
        }
    ),
    "timing": pa.schema(
        {
            "task": _TEXT,
            "optimizer": _TEXT,
            "grad_seconds": _FLOAT,
            "grad_seconds_q25": _FLOAT,
            "grad_seconds_q75": _FLOAT,
            "update_seconds": _FLOAT,
            "update_seconds_q25": _FLOAT,
            "update_seconds_q75": _FLOAT,
            "timed_steps": _INT,
            "threads": _INT,
            "device": _TEXT,
            "reason": _TEXT,
            "update_flops": _FLOAT,
            "update_bytes": _FLOAT,
            "record_passes": _FLOAT,
            "replicas": _TEXT,
            "others_busy": _FLOAT,
            "processors": _INT,
            "throttled_seconds": _FLOAT,
            "under_load": pa.bool_(),
        }
    ),
    "pictures": pa.schema(
        {
            "task": _TEXT,
            "optimizer": _TEXT,
            "track": _TEXT,
            "seed": _INT,
            "what": _TEXT,
            "step": _INT,
            "png": pa.binary(),
        }
    ),
    "heldout": pa.schema(
        {
            "task": _TEXT,
            "optimizer": _TEXT,
            "track": _TEXT,
            "seed": _INT,
            "metric": _TEXT,
            "steps": pa.list_(_INT),
            "values": pa.list_(pa.float32()),
        }
    ),
}
"""Columns by kind. Losses are float32, as they were computed; what is derived from them is float64."""
ADDED = (
    *("update_flops", "update_bytes", "record_passes", "heldout_metrics", "replicas", "function_sha256", "floor"),
    "repeats",
    *("others_busy", "processors", "throttled_seconds", "under_load"),
)
"""Columns that files of this format may lack, since earlier versions did not write them. They are then read as null."""
