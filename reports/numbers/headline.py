"""Every learned optimizer against the best baseline of each task."""

from dataclasses import astuple
from typing import Any

import pandas as pd

from l2obench.reports.cells.table import CELL, CellRows, CellTable, table_of_cells
from l2obench.reports.numbers.comparison import Comparison, compare, outcomes
from l2obench.reports.numbers.counting import best_baseline, table_of

CLASS = ["uses", "best_of_class", "class_track", "class_verdict", "class_ratio", "class_low", "class_high"]
CLASS += ["class_win_rate", "class_mean", "class_measure"]
RATIO = ["typical_ratio", "typical_low", "typical_high"]
DIFFERENCE = ["typical_difference", "difference_low", "difference_high"]


def headline(cells: pd.DataFrame | CellTable) -> pd.DataFrame:
    """Every learned optimizer against the best baseline of its task: losses, their ratio, verdict and cost.

    The verdict rests on the typical ratio, learned over baseline, on the seeds that both ran
    (`l2obench.bench.stats.verdict`). Its p-value is corrected by Holm's method for the number of rows. `ratio` is that
    of mean final losses, the paper's measure, with a paired 95 % interval. Where a loss is negative there is no ratio:
    the table then has `typical_difference` and its interval. The cost ratios are of the seconds of an update, and of a
    whole step (gradient and update).

    `baseline` is the best of all classes. `best_of_class` is the best of those that look at nothing more than the
    learned optimizer does: gradients, and of curvature, losses and the horizon what `uses` names. The columns `class_…`
    compare with that one, by the typical ratio (difference where a loss is negative), corrected in the same way.

    Args:
        cells: rows of one run or several.
    """
    columns = ["task", "optimizer", "baseline", "verdict", "typical_ratio", "typical_low", "typical_high", "win_rate"]
    columns += ["ratio", "low", "high", "seeds", "p_value"]
    columns += ["mean_final_loss", "baseline_mean_final_loss", "update_time_ratio", "step_time_ratio"]
    columns += ["failures", "baseline_failures"]
    columns += ["track", "baseline_track", *CLASS]
    rows: list[dict[str, Any]] = []
    comparisons: list[Comparison | None] = []
    in_class: list[Comparison | None] = []
    for task in table_of_cells(cells).tasks:
        baseline = best_baseline(task)
        for learned in task.learned_cells:
            comparisons.append(None if baseline is None else compare(learned, baseline))
            alike = best_baseline(task, of_class=learned)
            # Often the best of all is of the class: bootstraps take most of the time.
            in_class.append(
                comparisons[-1] if alike is baseline else None if alike is None else compare(learned, alike)
            )
            about = class_columns(learned, alike, in_class[-1])
            rows.append(learned.key(*CELL) | _against(learned, baseline, comparisons[-1]) | about)
    for row, (outcome, p_value) in zip(rows, outcomes(comparisons), strict=True):
        row["verdict"] = f"{outcome}{row['verdict']}"
        row["p_value"] = p_value
    for row, (outcome, _) in zip(rows, outcomes(in_class), strict=True):
        row["class_verdict"] = outcome or "not comparable: no baseline of the class ran"
    if any(item and item.found.measure == "difference" for item in comparisons):
        columns[columns.index("win_rate") : columns.index("win_rate")] = DIFFERENCE
    return table_of(cells, columns, rows)


def class_columns(rows: CellRows, baseline: CellRows | None, comparison: Comparison | None) -> dict[str, Any]:
    """What the best of the class is, without the verdict, which the other rows decide with it.

    Args:
        rows: of the learned optimizer.
        baseline: the best of its class.
        comparison: of both.
    """
    own: dict[str, Any] = {"uses": rows.uses}
    if baseline is None or comparison is None:
        return own
    typical = astuple(comparison.found.typical)
    return own | {
        "best_of_class": baseline.optimizer,
        "class_track": baseline.track,
        "class_mean": baseline.mean_loss,
        "class_measure": comparison.found.measure,
        "class_win_rate": comparison.found.win_rate.estimate,
        **dict(zip(("class_ratio", "class_low", "class_high"), typical, strict=True)),
    }


def _against(rows: CellRows, baseline: CellRows | None, comparison: Comparison | None) -> dict[str, Any]:
    """A row without its verdict, which the other rows decide with it; `verdict` is what follows it."""
    own = {"seeds": len(rows), "failures": rows.failures, "mean_final_loss": rows.mean_loss}
    if baseline is None or comparison is None:
        return own | {"verdict": "not comparable: no baseline ran"}
    notes = [
        f"; {cell.failures} of {len(cell)} {name}seeds failed"
        for name, cell in (("", rows), ("baseline ", baseline))
        if cell.failures
    ]
    (update, step), (baseline_update, baseline_step) = rows.step_seconds, baseline.step_seconds
    found = comparison.found
    return own | {
        "baseline": baseline.optimizer,
        "baseline_track": baseline.track,
        "baseline_failures": baseline.failures,
        "baseline_mean_final_loss": baseline.mean_loss,
        "seeds": comparison.seeds,
        "ratio": comparison.ratio.estimate,
        "low": comparison.ratio.low,
        "high": comparison.ratio.high,
        **dict(zip(RATIO if found.measure == "ratio" else DIFFERENCE, astuple(found.typical), strict=True)),
        "win_rate": found.win_rate.estimate,
        "verdict": "".join(notes) if comparison.seeds else "",
        "update_time_ratio": update / baseline_update,
        "step_time_ratio": step / baseline_step,
    }
