"""Steps and seconds that every optimizer needs to reach a fixed target loss of the task."""

from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.stats import median
from l2obench.reports.cells.table import CELL, CellTable, table_of_cells
from l2obench.reports.numbers.counting import counted_steps, table_of
from l2obench.reports.numbers.reference import target_loss


def time_to_target(cells: pd.DataFrame | CellTable) -> pd.DataFrame:
    """Steps and seconds to the task's fixed target: the MEDIAN final loss of its best tuned baseline.

    `target_from`: `stored` with the task's version, or `this run` where it is not.
    `steps`: the step by which half of the seeds are there, infinite if fewer ever are; a loss is averaged over the
    task's final window, as the final loss is. `seconds`: those steps at the pace of the serial timing pass. The fewest
    steps of a task come first.

    Args:
        cells: rows of one run or several.
    """
    columns = ["task", "optimizer", "track", "learned", "target", "seeds", "failures", "reached", "steps", "seconds"]
    columns += ["target_from"]
    rows: list[dict[str, Any]] = []
    for task in table_of_cells(cells).tasks:
        target = target_loss(task)
        about = {"target": target.loss, "target_from": target.source}
        here: list[dict[str, Any]] = []
        for cell in task.cells:
            steps = counted_steps(cell, target.loss)
            half = median(steps).estimate
            counts = {"learned": cell.learned, "seeds": len(cell), "failures": cell.failures}
            reached = {"reached": float(np.isfinite(steps).mean()), "steps": half}
            here.append(cell.key(*CELL) | about | counts | reached | {"seconds": half * cell.step_seconds[1]})
        rows += sorted(here, key=lambda row: (row["steps"], -row["reached"], row["optimizer"], row["track"]))
    return table_of(cells, columns, rows)
