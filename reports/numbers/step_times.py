"""Time of one step of one replica: gradient and update apart, from the serial timing pass."""

from typing import Any

import numpy as np
import pandas as pd

from l2obench.reports.cells.table import CellTable, by_optimizer, join_cells, table_of_cells
from l2obench.reports.numbers.counting import groups, seconds, step_seconds, table_of


def step_times(timing: pd.DataFrame, cells: pd.DataFrame | CellTable) -> pd.DataFrame:
    """Microseconds of a gradient and of an update, in the serial pass: medians with quartiles, and ratios to Adam's.

    `state_bytes` is the memory of the optimizer's state for one replica. An optimizer that could not be timed has its
    reason and no times.

    Args:
        timing: rows of the kind `timing`, of one run or several.
        cells: rows of the kind `cells`, of the same runs; they have the memory of the state.
    """
    halves = ["grad", "update"]
    quantiles = [f"{half}_{{}}seconds{quantile}" for half in halves for quantile in ("", "_q25", "_q75")]
    columns = ["task", "optimizer", *(name.format("micro") for name in quantiles)]
    columns += ["update_ratio_to_adam", "step_ratio_to_adam", "state_bytes", "threads", "device", "reason"]
    memory = _memory(table_of_cells(cells))
    rows: list[dict[str, Any]] = []
    for _, timed in groups(timing, "task"):
        adam = step_seconds(timed[timed["optimizer"] == "adam"])
        for key, measured in groups(timed, "task", "optimizer"):
            update, step = step_seconds(measured)
            rows.append(
                key
                | {name.format("micro"): 1e6 * seconds(measured, name.format("")) for name in quantiles}
                | {"update_ratio_to_adam": update / adam[0], "step_ratio_to_adam": step / adam[1]}
                | {"state_bytes": memory.get(tuple(key.values()), np.nan)}
                | {name: measured[name].iloc[0] for name in ("threads", "device", "reason")}
            )
    return table_of(timing, columns, rows)


def _memory(cells: CellTable) -> dict[tuple[Any, ...], float]:
    """Bytes of the state of each optimizer on each task; whole numbers where the column has nothing else."""
    write = int if pd.api.types.is_integer_dtype(cells.frame["state_bytes"].dtype) else float
    return {
        tuple(own.key("task", "optimizer").values()): write(own.largest("state_bytes"))
        for task in cells.tasks
        for own in map(join_cells, by_optimizer(task.cells).values())
    }
