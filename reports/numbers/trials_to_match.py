"""How many trials a baseline needs until it is at least as good as a learned optimizer that nobody tuned."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.config.budget import is_tuned
from l2obench.bench.stats.best_of import expected_trials, matched_share
from l2obench.reports.cells.table import CellRows, CellTable, by_optimizer, join_cells, table_of_cells
from l2obench.reports.floors import floor_of
from l2obench.reports.numbers.budget import mean_losses
from l2obench.reports.numbers.counting import counted_losses, groups, table_of

GRID = "grid"
"""The source of trials that are the learning rates of the track `tuned`."""
DEFAULT = "default"
"""The source of the only trial of a baseline that was not tuned: its default settings, on the evaluation seeds."""
COLUMNS = ["task", "optimizer", "baseline", "source", "tried", "matching", "trials", "passes", "seconds"]
COLUMNS += ["mean_final_loss", "best_mean"]
OVER_TASKS = ["optimizer", "baseline", "source", "tasks", "never", "trials", "passes", "seconds"]
WITHIN = (1, 5, 10, 20)
"""Numbers of trials for which the table over tasks says on how many tasks they suffice."""
# A rate of a grid with four points a decade has six significant digits.
POINTS_PER_DECADE, DIGITS = 4, 6


@dataclass(frozen=True)
class Tried:
    """What a baseline tried on a task."""

    source: str
    """`grid`, the track of its budget, or `default`."""
    losses: "pd.Series[float]"
    """Mean final loss of each trial; infinite where a seed failed, or where the trial was not run to its end."""


def trials_to_match(cells: pd.DataFrame | CellTable, tuning: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Every baseline that tried something against every learned optimizer that was not tuned, task by task.

    A trial matches where its mean final loss is at most that of the learned optimizer; losses at or below the floor are
    equal. `trials` is the expected number of trials until the first that matches, in a random order: (N + 1)/(M + 1)
    for M of N, infinite where none does. A trial trains one function once: `passes` are its gradients, `seconds` those
    of the serial timing pass. Trials of a budget are compared on the same evaluation seeds. The rates of a grid ran on
    tuning seeds only, so they are compared on those; rates that successive halving gave up do not match. A baseline
    that was not tuned has one trial: its defaults.

    Args:
        cells: rows of one run or several.
        tuning: rows of the kind `tuning`, of the same runs.
        trials: rows of the kind `trials`, of the same runs.
    """
    rows: list[dict[str, Any]] = []
    table = table_of_cells(cells)
    rates, budgets = _rows_by_optimizer(tuning), _rows_by_optimizer(trials)
    for task in table.tasks:
        untuned = by_optimizer(cell for cell in task.learned_cells if not is_tuned(cell.track))
        if not untuned:
            continue
        baselines = [join_cells(cells) for cells in task.designed.values()]
        tried = []
        for cell in baselines:
            place = tuple(cell.key("task", "optimizer").values())
            tried.append(list(_tried(cell, rates.get(place, tuning.iloc[:0]), budgets.get(place, trials.iloc[:0]))))
        for own in map(join_cells, untuned.values()):
            key = own.key("task", "optimizer")
            for cell, every in zip(baselines, tried, strict=True):
                rows += [key | {"baseline": cell.optimizer} | _match(own, cell, found) for found in every]
    return table_of(cells, COLUMNS, rows)


def matched_over_tasks(table: pd.DataFrame) -> pd.DataFrame:
    """The same over all tasks: on how many no trial matches, medians of trials and costs, and what few trials reach.

    Each column `within_k` is the share of tasks that k trials match, its mean over orders.

    Args:
        table: as `trials_to_match` gives it.
    """
    found = []
    for key, rows in groups(table, "optimizer", "baseline", "source"):
        medians = {name: float(rows[name].median()) for name in ("trials", "passes", "seconds")}
        within = dict(zip(_within_columns(), matched_curve(rows)[np.array(WITHIN) - 1], strict=True))
        found.append(key | {"tasks": len(rows), "never": int(rows["matching"].eq(0).sum())} | medians | within)
    return table_of(table, [*OVER_TASKS, *_within_columns()], found)


def matched_curve(rows: pd.DataFrame, most: int = max(WITHIN)) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """The share of tasks that k trials of a baseline match, for k = 1 … most, its mean over orders.

    Args:
        rows: of `trials_to_match`, for one learned optimizer, baseline and source.
        most: the largest k.
    """
    counts = list(zip(rows["tried"], rows["matching"], strict=True))
    shares = [[matched_share(int(tried), int(matching), k) for tried, matching in counts] for k in range(1, most + 1)]
    means: np.ndarray[Any, np.dtype[np.float64]] = np.array(shares).mean(1)
    return means


def _within_columns() -> list[str]:
    return [f"within_{k}" for k in WITHIN]


def _tried(cell: CellRows, rates: pd.DataFrame, budgets: pd.DataFrame) -> Iterator[Tried]:
    """What a baseline tried on a task: a grid, budgets or both; its defaults where it was not tuned."""
    if len(rates):
        complete = int(cell.first("steps"))
        means = {
            lr: float(np.mean(counted_losses(own))) if (own := group[group["steps"].eq(complete)]).size else np.inf
            for lr, group in rates.groupby("lr")
            # Points between those of the grid are there because their neighbours are good: no random order has them.
            if _is_on_grid(float(str(lr)))
        }
        yield Tried(GRID, pd.Series(means, dtype=float))
    for place, rows in groups(budgets, "track") if len(budgets) else ():
        # A track that chooses by held-out loss says little of final losses.
        if not str(place["track"]).startswith("heldout-"):
            yield Tried(str(place["track"]), mean_losses(rows, "evaluation"))
    if not any(map(is_tuned, set(cell.values("track")))):
        yield Tried(DEFAULT, pd.Series([cell.mean_loss]))


def _rows_by_optimizer(frame: pd.DataFrame) -> dict[tuple[Any, ...], pd.DataFrame]:
    """The rows of each optimizer on each task, after its run where there are several."""
    return {tuple(key.values()): rows for key, rows in groups(frame, "task", "optimizer")} if len(frame) else {}


def _is_on_grid(lr: float) -> bool:
    """Whether a rate is one of four points a decade."""
    point = round(np.log10(lr) * POINTS_PER_DECADE) if lr > 0 else 0
    return float(f"{10 ** (point / POINTS_PER_DECADE):.{DIGITS}g}") == lr


def _match(learned: CellRows, baseline: CellRows, tried: Tried) -> dict[str, Any]:
    floor = floor_of(learned, baseline)
    reference = learned.mean_loss
    # A learned optimizer that failed on a seed is matched by any trial.
    matching = int((tried.losses <= max(reference, floor)).sum()) if np.isfinite(reference) else len(tried.losses)
    trials = expected_trials(len(tried.losses), matching)
    passes = trials * baseline.number("steps")
    return {
        "source": tried.source,
        "tried": len(tried.losses),
        "matching": matching,
        "trials": trials,
        "passes": passes,
        "seconds": passes * baseline.step_seconds[1],
        "mean_final_loss": reference,
        "best_mean": float(tried.losses.min()),
    }
