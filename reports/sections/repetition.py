"""Which optimizers give other numbers on a second run, as sentences."""

import pandas as pd

from l2obench.reports.formats import join_lines


def repetition_sentences(cells: pd.DataFrame) -> list[str]:
    """Name the optimizers whose numbers do not repeat.

    Args:
        cells: rows of the kind `cells`.
    """
    if "repeats" not in cells:
        return []
    other = cells[cells["repeats"].eq(False)].drop_duplicates(["task", "optimizer"])
    return [
        join_lines(f"A second run of {row['optimizer']} on {row['task']} gives other numbers: it draws without a seed.")
        for _, row in other.iterrows()
    ]
