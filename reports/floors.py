"""The floor of each task, below which final losses do not differ: recorded, or as the installed task states it.

Results of earlier versions do not record it. Then the task that is registered under the same name is asked. A task that
is not registered here has the default.
"""

from typing import Literal

import numpy as np
import pandas as pd

from l2obench.bench.config.task_facts import task_facts
from l2obench.bench.stats.pairs import FLOOR
from l2obench.reports.cells.table import CellRows

FloorFrom = Literal["recorded", "registered", "default"]
"""Where a floor comes from: the results, the task of that name that is installed here, or neither."""


def with_floors(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells with a floor in every row, and where it comes from in the column `floor_from`.

    A recorded floor that is no finite number of 0 or more counts as missing.

    Args:
        cells: rows of the kind `cells`.

    Example:
        >>> rows = with_floors(pd.DataFrame({"task": ["bowl", "bowl"], "floor": [1e-9, None]}))
        >>> rows["floor"].tolist(), rows["floor_from"].tolist()
        ([1e-09, 1e-12], ['recorded', 'default'])
    """
    recorded = cells["floor"].astype(float)
    known = recorded.ge(0) & recorded.lt(np.inf)
    sources = np.where(known, "recorded", "default").astype(object)
    floors = recorded.where(known, FLOOR)
    for task in cells.loc[~known, "task"].unique():
        if (facts := task_facts(task)).known and np.isfinite(facts.floor) and facts.floor >= 0:
            here = (~known & cells["task"].eq(task)).to_numpy()
            floors[here], sources[here] = facts.floor, "registered"
    return cells.assign(floor=floors, floor_from=sources)


def floor_of(*parts: CellRows) -> float:
    """The floor of rows of one task, the highest where several are recorded; the default where there is none.

    Args:
        parts: rows of one task.
    """
    return max((rows.floor for rows in parts if not np.isnan(rows.floor)), default=FLOOR)
