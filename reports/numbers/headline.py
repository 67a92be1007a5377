"""Every learned optimizer against the best tuned baseline of each task."""

from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.stats import holm
from l2obench.reports.numbers.comparison import compare
from l2obench.reports.numbers.counting import (
    best_baseline,
    counted_losses,
    failed,
    groups,
    step_seconds,
    table_of,
)


def headline(cells: pd.DataFrame) -> pd.DataFrame:
    """Every learned optimizer against the best tuned baseline of its task: losses, their ratio, verdict and cost.

    The ratio is of mean final losses, learned over baseline, on the seeds that both ran, with a paired 95 % interval.
    The p-value is of a paired test on those seeds, adjusted by Holm's method for the number of rows. The cost ratios
    are of the seconds of an update, and of a whole step (gradient and update).
    """
    columns = ["task", "optimizer", "baseline", "ratio", "low", "high", "verdict", "seeds", "p_value"]
    columns += ["mean_final_loss", "baseline_mean_final_loss", "update_time_ratio", "step_time_ratio"]
    columns += ["failures", "baseline_failures"]
    columns += ["track", "baseline_track"]
    rows: list[dict[str, Any]] = []
    for _, task in groups(cells, "task"):
        baseline = best_baseline(task)
        for key, learned in groups(task[task["learned"].eq(True)], "task", "optimizer", "track"):
            rows.append(key | _against(learned, baseline))
    for row, adjusted in zip(rows, holm([row.get("p_value", np.nan) for row in rows]), strict=True):
        row["p_value"] = adjusted
    return table_of(cells, columns, rows)


def _against(rows: pd.DataFrame, baseline: pd.DataFrame | None) -> dict[str, Any]:
    own = {"seeds": len(rows), "failures": failed(rows), "mean_final_loss": counted_losses(rows).mean()}
    if baseline is None:
        return own | {"verdict": "not comparable: no baseline ran"}
    comparison = compare(rows, baseline)
    verdict = comparison.verdict
    for name, frame in (("", rows), ("baseline ", baseline)):
        if failed(frame):
            verdict += f"; {failed(frame)} of {len(frame)} {name}seeds failed"
    (update, step), (baseline_update, baseline_step) = step_seconds(rows), step_seconds(baseline)
    return own | {
        "baseline": baseline["optimizer"].iloc[0],
        "baseline_track": baseline["track"].iloc[0],
        "baseline_failures": failed(baseline),
        "baseline_mean_final_loss": counted_losses(baseline).mean(),
        "seeds": comparison.seeds,
        "ratio": comparison.ratio.estimate,
        "low": comparison.ratio.low,
        "high": comparison.ratio.high,
        "verdict": verdict,
        "p_value": comparison.p_value,
        "update_time_ratio": update / baseline_update,
        "step_time_ratio": step / baseline_step,
    }
