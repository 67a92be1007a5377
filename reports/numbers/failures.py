"""Every failure: how many seeds of a cell, why, and at which steps."""

from typing import Any

import pandas as pd

from l2obench.reports.cells.table import CELL, CellTable, table_of_cells
from l2obench.reports.numbers.counting import groups, table_of


def failures(cells: pd.DataFrame | CellTable) -> pd.DataFrame:
    """Everything that failed: how many of a cell's seeds, why, and between which steps.

    Args:
        cells: rows of one run or several.
    """
    columns = ["task", "optimizer", "track", "status", "reason", "failures", "seeds"]
    columns += ["first_failed_step", "last_failed_step"]
    table = table_of_cells(cells)
    lost = table.frame[~table.ok]
    if lost.empty:
        return table_of(cells, columns, [])
    seeds = {tuple(cell.key(*CELL).values()): len(cell) for task in table.tasks for cell in task.cells}
    lost = lost.assign(reason=[_reason(*pair) for pair in zip(lost["reason"], lost["failed_step"], strict=True)])
    rows: list[dict[str, Any]] = []
    for key, alike in groups(lost, "task", "optimizer", "track", "status", "reason"):
        steps = alike["failed_step"].astype(float)
        count = {"failures": len(alike), "seeds": seeds[tuple(key.values())[:-2]]}
        rows.append(key | count | {"first_failed_step": steps.min(), "last_failed_step": steps.max()})
    return table_of(cells, columns, rows)


def _reason(reason: Any, step: float) -> str:
    """A reason without the step that it names, so that seeds that failed alike are counted together."""
    if not isinstance(reason, str):
        return "no reason recorded"
    return reason if pd.isna(step) else reason.removesuffix(f" at step {step:.0f}").rstrip(",")
