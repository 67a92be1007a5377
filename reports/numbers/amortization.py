"""How often a learned optimizer must be used until its meta-training has paid for itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.config.budget import is_tuned
from l2obench.bench.stats import median, steps_to_target
from l2obench.reports.cells.table import CellRows, CellTable, table_of_cells
from l2obench.reports.numbers.comparison import paired
from l2obench.reports.numbers.counting import best_tuned_baseline, fact, groups, manifest_of, meta_training_of, table_of

COLUMNS = ["task", "optimizer", "baseline", "seeds", "unit", "tuned", "meta_training_cost", "tuning_cost"]
COLUMNS += ["baseline_run_cost", "learned_run_cost", "break_even", "low", "high"]
EVALUATIONS, SECONDS = "gradient evaluations", "seconds"
ONCE, EACH = "once for the family", "on each problem"
"""The two ways in which a baseline is charged for its tuning. Every break-even says which it is."""


def amortization(
    cells: pd.DataFrame | CellTable,
    tried: pd.DataFrame,
    trials: pd.DataFrame,
    manifests: Mapping[str, Mapping[str, Any]],
) -> pd.DataFrame:
    """Break-even of every learned optimizer against the best tuned baseline of its task, in uses.

    A use brings one new function to the loss that the baseline ends with on it. The baseline takes its whole horizon
    for that, the learned optimizer the median number of steps over seeds, infinite if half of them never get there.
    M is what meta-training took, B and L the two runs. The baseline's rate is tuned in one of two ways:

    - `once for the family`: on the protocol's tuning functions, at the cost U. n uses cost M + n L against U + n B.
    - `on each problem`: every use tunes on its own function, at the cost u, which is U over the number of tuning
      functions. n uses cost M + n L against n (u + B).

    `break_even` is the n from which on the former is no more, infinite if there is none. Its interval is that of the
    median (95 %): the other costs are taken as they were measured. `tuning_cost` is U or u.

    Gradient evaluations of a meta-training are its functions times their steps, without validation, a second derivative
    counted as nothing; its seconds are all that it took, on the machine that it was trained on. Both include the
    training that it started from. What is not known is missing.

    Args:
        cells: rows of one run or several.
        tried: rows of the kind `tuning`, of the same runs; they say on how many functions was tuned.
        trials: rows of the kind `trials`, of the same runs; they say it of the tracks with a budget.
        manifests: their manifests by label; of one run, its only one.
    """
    found: list[dict[str, Any]] = []
    counts: dict[str, dict[tuple[Any, ...], float]] = {}
    for task in table_of_cells(cells).tasks:
        baseline = best_tuned_baseline(task)
        if baseline is None or not is_tuned(track := baseline.track) or not task.learned_cells:
            continue
        if track not in counts:
            searched = tried if track == "tuned" else trials[trials["pool"].eq("tuning") & trials["track"].eq(track)]
            counts[track] = _tuning_functions(searched)
        functions = counts[track].get(tuple(baseline.key("task", "optimizer").values()), np.nan)
        for learned in task.learned_optimizers:
            key = learned.key("task", "optimizer")
            manifest = manifest_of(key, manifests)
            training = _training(manifest, key["optimizer"])
            found += [key | row for row in _rows(learned, baseline, training, functions)]
    return table_of(cells, COLUMNS, found)


def _tuning_functions(tried: pd.DataFrame) -> dict[tuple[Any, ...], float]:
    """On how many functions the rate of each optimizer was tuned on each task."""
    return {tuple(key.values()): float(rows["seed"].nunique()) for key, rows in groups(tried, "task", "optimizer")}


def _rows(
    learned: CellRows, baseline: CellRows, training: Mapping[str, float], functions: float
) -> list[dict[str, Any]]:
    horizon = int(baseline.first("steps"))
    needed, seeds = _steps_needed(learned, baseline)
    steps = median(needed)
    paces = {
        EVALUATIONS: (1.0, 1.0),
        SECONDS: (baseline.step_seconds[1], learned.step_seconds[1]),
    }
    rows = []
    for unit, (baseline_pace, learned_pace) in paces.items():
        tuning, run = baseline.largest("tuning_passes") * baseline_pace, horizon * baseline_pace
        for tuned, spent in ((ONCE, tuning), (EACH, tuning / functions)):
            even = [
                _break_even(training[unit], spent, run, count * learned_pace, tuned)
                for count in (steps.estimate, steps.low, steps.high)
            ]
            rows.append(
                {
                    "baseline": baseline.optimizer,
                    "seeds": seeds,
                    "unit": unit,
                    "tuned": tuned,
                    "meta_training_cost": training[unit],
                    "tuning_cost": spent,
                    "baseline_run_cost": run,
                    "learned_run_cost": steps.estimate * learned_pace,
                    "break_even": even[0],
                    "low": even[1],
                    "high": even[2],
                }
            )
    return rows


def _break_even(meta_training: float, tuning: float, baseline_run: float, learned_run: float, tuned: str) -> float:
    """The least number of uses, one at least, from which on learning to optimize costs no more."""
    ahead = meta_training - (tuning if tuned == ONCE else 0.0)
    saved = baseline_run - learned_run + (tuning if tuned == EACH else 0.0)
    if np.isnan(ahead) or np.isnan(saved):
        return np.nan
    if saved <= 0:
        return 1.0 if saved == 0 and ahead <= 0 else np.inf
    return float(max(1.0, np.ceil(ahead / saved)))


def _steps_needed(learned: CellRows, baseline: CellRows) -> tuple[np.ndarray[Any, Any], int]:
    """Steps to the loss that the baseline ends with, on each seed that both ran; a failure of either is infinite."""
    mine, others = paired(learned, baseline)
    needed = np.full(len(mine), np.inf)
    rows = zip(mine.trajectories, mine.values("final_window"), others.ok, others.numbers("final_loss"), strict=True)
    for place, (losses, window, ok, target) in enumerate(rows):
        if losses is not None and ok:
            needed[place] = steps_to_target([losses], target, min(int(window), len(losses)))[0]
    return needed, len(mine)


def _training(manifest: Mapping[str, Any], optimizer: str) -> dict[str, float]:
    """What meta-training cost, by unit; missing where the manifest, which may hold anything, does not say."""
    facts = meta_training_of(optimizer, manifest)
    of_one_training = fact(facts, "trajectories") * fact(facts, "functions") * fact(facts, "horizon")
    stated = isinstance(facts, Mapping) and "evaluations" in facts  # older manifests have none
    return {EVALUATIONS: fact(facts, "evaluations") if stated else of_one_training, SECONDS: fact(facts, "seconds")}
