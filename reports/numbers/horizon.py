"""Where a learned optimizer breaks when it runs longer than it was trained for."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2obench.reports.cells.table import CellRows, CellTable, table_of_cells
from l2obench.reports.numbers.comparison import paired
from l2obench.reports.numbers.counting import best_baseline, fact, manifest_of, meta_training_of, table_of
from l2obench.reports.numbers.curves import running_mean

COLUMNS = ["task", "optimizer", "trained_steps", "steps", "seeds", "loss_at_trained_steps", "lowest_loss"]
COLUMNS += ["lowest_step", "final_loss", "baseline", "baseline_final_loss", "overtaken_step"]

Floats = NDArray[np.float64]


def past_the_horizon(cells: pd.DataFrame | CellTable, manifests: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Every learned optimizer on a task longer than the one it was trained on, against the task's best baseline.

    Losses are means over the seeds that both ran, each averaged over the task's final window; a failed seed's is
    infinite from its failure on. `lowest_step` is where the mean is lowest. `overtaken_step` is the step from which on
    the baseline's mean is the lower one, to the end: 1 if it always is, missing if it is not at the end.

    Args:
        cells: rows of one run or several.
        manifests: their manifests by label; of one run, its only one.
    """
    found = []
    for task in table_of_cells(cells).tasks:
        baseline = best_baseline(task)
        for learned in task.learned_optimizers:
            key = learned.key("task", "optimizer")
            manifest = manifest_of(key, manifests)
            trained, steps = _trained_steps(manifest, key["optimizer"]), int(learned.first("steps"))
            if trained is not None and trained < steps and baseline is not None:
                found.append(key | {"trained_steps": trained, "steps": steps} | _course(learned, baseline, trained))
    return table_of(cells, COLUMNS, found)


def _course(learned: CellRows, baseline: CellRows, trained: int) -> dict[str, Any]:
    common, name = paired(learned, baseline), baseline.optimizer
    if not len(common[0]):
        return {"seeds": 0, "baseline": name}
    mine, others = map(_mean_curve, common)
    behind = others < mine
    overtaken = len(behind) - int(np.argmin(behind[::-1])) if not behind.all() else 1
    lowest = int(np.argmin(mine))
    return {
        "seeds": len(common[0]),
        "loss_at_trained_steps": mine[trained],
        "lowest_loss": mine[lowest],
        "lowest_step": lowest,
        "final_loss": mine[-1],
        "baseline": name,
        "baseline_final_loss": others[-1],
        "overtaken_step": overtaken if behind[-1] else np.nan,
    }


def _mean_curve(rows: CellRows) -> Floats:
    """Mean loss after every step `[steps + 1]`; a seed without a trajectory is infinite throughout."""
    steps, window = int(rows.first("steps")), int(rows.first("final_window"))
    curves = [
        np.full(steps + 1, np.inf) if loss is None else np.asarray(loss, dtype=np.float64) for loss in rows.trajectories
    ]
    means: Floats = running_mean(np.stack(curves), window, np.arange(steps + 1)).mean(axis=0)
    return means


def _trained_steps(manifest: Mapping[str, Any], optimizer: str) -> int | None:
    """The horizon that an optimizer was trained for; None where the manifest does not say."""
    horizon = fact(meta_training_of(optimizer, manifest), "horizon")
    return None if np.isnan(horizon) else int(horizon)
