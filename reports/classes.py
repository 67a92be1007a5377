"""The class of every optimizer in a run: what it looks at. Comparisons name the best of its class, and of all."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from l2obench.bench.config.budget import parse_budget
from l2obench.bench.config.optimizer_facts import recorded_class, sees_no_more
from l2obench.reports.cells.table import CellRows


def with_classes(cells: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Cells with a column `uses`: what the optimizer looks at; missing where that is not known.

    A budget of trials searches schedules, which know the horizon. A cell whose chosen schedule is not constant says so.

    Args:
        cells: rows of the kind `cells`, of one run.
        manifest: of the run.
    """
    known = {name: recorded_class(str(name), manifest) for name in cells["optimizer"].unique()}
    uses = cells["optimizer"].map(known).astype(object)
    budgets = cells["track"].map(lambda track: parse_budget(str(track)) is not None).astype(bool)
    scheduled = budgets & cells["hyperparameters"].astype(str).str.contains(
        r'"schedule": "(?:linear|cosine|wsd)"', regex=True
    )
    missing = scheduled & uses.notna() & ~uses.astype(str).str.contains("horizon")
    return cells.assign(uses=uses.where(~missing, uses.astype(str) + ", horizon"))


def is_in_class(rows: CellRows, own: CellRows) -> bool:
    """Whether an optimizer looks at nothing that another one does not.

    Args:
        rows: of the one.
        own: of the other.
    """
    return sees_no_more(rows.uses, own.uses)
