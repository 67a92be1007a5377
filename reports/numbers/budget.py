"""What the best of k trials ends with, for every optimizer that had a budget of trials."""

from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.config.budget import parse_budget
from l2obench.bench.stats.best_of import best_of
from l2obench.reports.numbers.counting import counted_losses, groups, table_of

QUARTILES = ["lower_quartile", "median", "upper_quartile"]
COLUMNS = ["task", "optimizer", "track", "trials", "expected_best", *QUARTILES, "fails", "tuning_functions", "seeds"]


def best_of_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """What an optimizer ends with if a user takes the best of k trials, for k = 1 … N: one row for each k.

    A user chooses the trial with the lowest mean on the tuning seeds. Its mean on the evaluation seeds counts, over all
    sets of k of the N trials (`l2obench.bench.stats.best_of`). A trial that fails on any seed has an infinite mean;
    `fails` is the share of the sets that choose such a trial. In a track that chooses by held-out loss, all losses here
    are held-out losses.

    Args:
        trials: rows of the kind `trials`, of one run or several.
    """
    found: list[dict[str, Any]] = []
    for key, rows in groups(trials, "task", "optimizer", "track") if len(trials) else ():
        scores, losses = (mean_losses(rows, pool) for pool in ("tuning", "evaluation"))
        both = scores.index.intersection(losses.index)
        if both.empty:
            continue
        curve = best_of(scores[both], losses[both])
        of_pool = rows.groupby("pool")["seed"].nunique()
        counts = {"tuning_functions": int(of_pool["tuning"]), "seeds": int(of_pool["evaluation"])}
        for k, (expected, fails) in enumerate(zip(curve.expected, curve.fails, strict=True), start=1):
            quartiles = dict(zip(QUARTILES, curve.quartiles[:, k - 1], strict=True))
            found.append(key | {"trials": k, "expected_best": expected, "fails": fails} | quartiles | counts)
    return table_of(trials, COLUMNS, found)


def some_budgets(table: pd.DataFrame) -> pd.DataFrame:
    """The rows for 1, 2, 4, 8 … trials and for all of them: a page need not show every k.

    Args:
        table: as `best_of_trials` gives it.
    """
    if table.empty:
        return table
    keys = [name for name in ("run", "task", "optimizer", "track") if name in table]
    largest = table.groupby(keys, sort=False)["trials"].transform("max")
    powers = table["trials"].map(lambda k: int(k) & (int(k) - 1) == 0).astype(bool)
    return table[powers | table["trials"].eq(largest)].reset_index(drop=True)


def mean_losses(trials: pd.DataFrame, pool: str) -> "pd.Series[float]":
    """The mean loss of each trial of one search, by its number; infinite where a seed failed.

    Args:
        trials: rows of one task, optimizer and track.
        pool: `tuning` or `evaluation`.
    """
    budget = parse_budget(str(trials["track"].iloc[0]))
    rows = trials[trials["pool"].eq(pool)]
    if budget is not None and budget.heldout:
        rows = rows.assign(final_loss=rows["heldout_loss"].astype(float))
    means = {trial: float(np.mean(counted_losses(own))) for trial, own in rows.groupby("trial")}
    return pd.Series(means, dtype=float)
