"""Performance profiles: how many functions an optimizer solves at no more than τ times tuned Adam's cost.

Solved means that the task's fixed target is reached. Cost is in steps, or in seconds at the pace of the timing pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2obench.bench.stats import Proportions, mean_over_tasks, performance_profile
from l2obench.reports.cells.table import CellTable, table_of_cells
from l2obench.reports.numbers.reference import cost_ratios, main_tracks, reference, target_loss

ALL_TASKS = "all tasks"
MEASURES = ("steps", "seconds")
# From a 32nd of the reference's cost to 32 times it, 16 points an octave: even on the figure's logarithmic axis.
TAUS = np.geomspace(2**-5, 2**5, 161)
# Those that a table shows.
SHOWN = (0.25, 0.5, 1.0, 2.0, 4.0)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """One optimizer's profile: the share of seeds solved for each τ `[taus]`, with a pointwise 95 % band."""

    run: str | None
    task: str
    """A task's identity, or `all tasks`: the mean over them, for optimizers that ran on all."""
    optimizer: str
    measure: str
    taus: Floats
    shares: Proportions
    solved: float
    """The share solved at any cost."""
    seeds: int


@dataclass(frozen=True)
class CostRatios:
    """Costs of one optimizer on a task, divided by tuned Adam's, `[seeds]`; infinite for a seed that is not solved."""

    run: str | None
    task: str
    optimizer: str
    measure: str
    ratios: Floats


def all_cost_ratios(cells: pd.DataFrame | CellTable) -> list[CostRatios]:
    """Cost ratios of every optimizer on every task where tuned Adam ran, in both measures.

    They depend on the optimizer's own rows, tuned Adam's and the stored target alone. Where the timing pass did not
    run, there are none in seconds.

    Args:
        cells: rows of one run or several.
    """
    found = []
    for task in table_of_cells(cells).tasks:
        adam = reference(task)
        if adam is None or not np.isfinite(target := target_loss(task).loss):
            continue
        for rows in main_tracks(task):
            by_measure = zip(MEASURES, cost_ratios(rows, adam, target), strict=True)
            run = rows.first("run") if "run" in rows.table else None
            found += [
                CostRatios(run, task.task, rows.optimizer, measure, ratios)
                for measure, ratios in by_measure
                if ratios.size and not np.isnan(ratios).any()
            ]
    return found


def profiles(costs: Sequence[CostRatios], taus: Floats = TAUS) -> list[Profile]:
    """Profiles of every optimizer on every task, then over all those tasks, in both measures.

    Args:
        costs: as `all_cost_ratios` gives them.
        taus: where to evaluate, `[taus]`.
    """
    found = []
    for measure in MEASURES:
        here = [_profile(item, taus) for item in costs if item.measure == measure]
        found += here + _over_tasks(here, measure, taus)
    return found


def profile_table(costs: Sequence[CostRatios]) -> pd.DataFrame:
    """Profiles at a few τ: the share of seeds solved at a quarter, half, once, twice and four times Adam's cost.

    Args:
        costs: as `all_cost_ratios` gives them.
    """
    rows = [
        ({} if item.run is None else {"run": item.run})
        | {"task": item.task, "optimizer": item.optimizer, "measure": item.measure, "seeds": item.seeds}
        | dict(zip(map(_column, SHOWN), item.shares.estimate.tolist(), strict=True))
        | {"solved": item.solved}
        for item in profiles(costs, np.array(SHOWN))
    ]
    columns = ["task", "optimizer", "measure", "seeds", *map(_column, SHOWN), "solved"]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)


def _profile(item: CostRatios, taus: Floats) -> Profile:
    shares, solved = performance_profile(item.ratios, taus), float(np.isfinite(item.ratios).mean())
    return Profile(item.run, item.task, item.optimizer, item.measure, taus, shares, solved, len(item.ratios))


def _column(tau: float) -> str:
    return f"within_{tau:g}×"


def _over_tasks(found: list[Profile], measure: str, taus: Floats) -> list[Profile]:
    """The mean over a run's tasks, where it has several, for the optimizers that have a profile on all of them."""
    means = []
    for run in dict.fromkeys(item.run for item in found):
        here = [item for item in found if item.run == run]
        tasks = {item.task for item in here}
        for optimizer in dict.fromkeys(item.optimizer for item in here):
            parts = [item for item in here if item.optimizer == optimizer]
            if len(parts) == len(tasks) > 1:
                shares = mean_over_tasks([item.shares for item in parts])
                solved = float(np.mean([item.solved for item in parts]))
                seeds = sum(item.seeds for item in parts)
                means.append(Profile(run, ALL_TASKS, optimizer, measure, taus, shares, solved, seeds))
    return means
