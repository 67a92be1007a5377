"""The learning rate that tuning chose for every optimizer on every task, and what tuning cost."""

from typing import Any

import pandas as pd

from l2obench.reports.numbers.counting import counted_losses, groups, table_of


def tuning(tried: pd.DataFrame) -> pd.DataFrame:
    """What the track `tuned` chose for each (task, optimizer), from how many rates, at how many passes.

    `at_edge`: the best rate is the first or the last of the grid, at its limit: a better one may lie beyond.

    Args:
        tried: rows of the kind `tuning`, of one run or several.
    """
    columns = ["task", "optimizer", "lr", "mean_final_loss", "rates_tried", "seeds", "passes", "at_edge"]
    rows: list[dict[str, Any]] = []
    for key, rates in groups(tried, "task", "optimizer"):
        chosen = rates[rates["chosen"].eq(True)]
        rows.append(
            key
            | {"lr": chosen["lr"].max(), "mean_final_loss": counted_losses(chosen).mean()}
            | {"rates_tried": rates["lr"].nunique(), "seeds": rates["seed"].nunique()}
            | {"passes": int(rates["steps"].sum()), "at_edge": bool(rates["at_edge"].any())}
        )
    return table_of(tried, columns, rows)
