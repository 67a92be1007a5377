"""Step times of a run's serial timing pass: none that were taken under load, and none that no clock can have shown."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from l2obench.bench.store.results_file import StoreError
from l2obench.bench.store.timing_commands import timing_commands


@dataclass(frozen=True)
class Clock:
    """A run's serial timing pass on one task: optimizers of one clock were measured in turns."""

    run: str
    step_seconds: Mapping[str, float]
    """Median seconds of a step, gradient and update, by optimizer; none that were taken under load."""
    under_load: bool | None = False
    """Whether they were taken while other processes used the machine. None: an earlier version did not watch."""
    commands: tuple[str, ...] = ()
    """What measures them again."""


def clocks(timing: pd.DataFrame, origin: str, manifest: Mapping[str, Any]) -> dict[str, Clock]:
    """The clocks of a run by task. An optimizer that could not be timed, as its `reason` says, is left out.

    Args:
        timing: rows of the timing pass.
        origin: what they were read from, for the message.
        manifest: of the run; empty for a file without one.

    Raises:
        StoreError: a time is zero, negative, infinite or missing without a reason.
    """
    found = {}
    for task, rows in timing.groupby("task"):
        seconds = {}
        row: Any  # of columns that pandas types as a union of all that a cell may hold
        for row in rows.itertuples(index=False):
            if row.reason is not None and not pd.isna(row.reason):
                continue
            for half, value in (("grad_seconds", row.grad_seconds), ("update_seconds", row.update_seconds)):
                if not (math.isfinite(value) and value > 0):
                    raise StoreError(
                        f"{origin}: {half} of {row.optimizer} on {task} must be a positive number, got {value}. "
                        "Try: run it again with --force"
                    )
            if not (pd.notna(row.under_load) and row.under_load):
                seconds[str(row.optimizer)] = float(row.grad_seconds + row.update_seconds)
        loads = rows["under_load"]
        loaded = True if loads.eq(True).any() else False if loads.notna().any() else None
        found[str(task)] = Clock(origin, seconds, loaded, tuple(timing_commands(manifest, [str(task)])))
    return found
