"""Held-out metrics: every learned optimizer against the best baseline of the metric, and the means of all."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.stats import SCORE_GRID, Interval, bootstrap_mean, compare_losses, compare_scores
from l2obench.reports.cells.table import CELL, CellRows, CellTable, table_of_cells
from l2obench.reports.classes import is_in_class
from l2obench.reports.floors import floor_of
from l2obench.reports.numbers.comparison import Comparison, common_seeds, outcomes
from l2obench.reports.numbers.counting import best_of, manifest_of, table_of
from l2obench.reports.numbers.metrics import Metric, metrics_of, values

NO_CLASS = "not comparable: no baseline of the class ran"
NO_DIRECTION = "none: the task does not say which values are better"
VERDICTS = ["task", "optimizer", "metric", "better", "baseline", "verdict", "measure", "typical", "typical_low"]
VERDICTS += ["typical_high", "win_rate", "means", "means_low", "means_high", "mean", "baseline_mean", "seeds"]
VERDICTS += ["p_value", "failures", "baseline_failures", "track", "baseline_track"]
VERDICTS += ["uses", "best_of_class", "class_track", "class_verdict", "class_typical", "class_low", "class_high"]
VERDICTS += ["class_mean"]
MEANS = ["task", "optimizer", "track", "metric", "learned", "seeds", "failures", "mean", "low", "high"]


def heldout(cells: pd.DataFrame | CellTable, manifests: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Every learned optimizer against the best baseline of its task, metric by metric.

    The baseline is the one with the best mean of this metric, which favours the baseline. A loss is compared by the
    typical ratio, with the task's floor. So is any other metric of which lower is better. A metric of which higher is
    better, such as an accuracy, is compared by the typical difference, learned − baseline. p-values are corrected by
    Holm's method for the number of rows. A seed that failed counts as the worst value: accuracy 0, else infinite. Of a
    metric without a direction there is no verdict, and seeds that failed are left out of its typical difference.

    Args:
        cells: rows of one run or several.
        manifests: their manifests by label; of one run, its only one.
    """
    rows: list[dict[str, Any]] = []
    comparisons: list[Comparison | None] = []
    in_class: list[Comparison | None] = []
    for task in table_of_cells(cells).tasks:
        for metric in metrics_of(task, manifest_of(task.key(), manifests)):
            ranked = _from_best(task.baselines, metric)
            baseline = _best(ranked, metric)
            for learned in task.learned_cells:
                comparison = None if baseline is None else _compare(learned, baseline, metric)
                about = learned.key(*CELL) | {"metric": metric.name, "better": metric.better or "not stated"}
                alike = _best(ranked, metric, learned)
                near = comparison if alike is baseline else None if alike is None else _compare(learned, alike, metric)
                rows.append(
                    about | _numbers(learned, baseline, metric, comparison) | _class(learned, alike, metric, near)
                )
                comparisons.append(comparison if metric.better else None)
                in_class.append(near if metric.better else None)
    for row, (outcome, p_value) in zip(rows, outcomes(comparisons), strict=True):
        row["verdict"], row["p_value"] = outcome or row["verdict"], p_value
    for row, (outcome, _) in zip(rows, outcomes(in_class), strict=True):
        row["class_verdict"] = outcome or (NO_DIRECTION if "best_of_class" in row else NO_CLASS)
    return table_of(cells, VERDICTS, rows)


def heldout_means(cells: pd.DataFrame | CellTable, manifests: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Means of every held-out metric of every (task, optimizer, track), with 95 % bootstrap intervals; the best first.

    A seed that failed counts as the worst value; where the task does not say which that is, it is left out.

    Args:
        cells: rows of one run or several.
        manifests: their manifests by label; of one run, its only one.
    """
    rows: list[dict[str, Any]] = []
    for task in table_of_cells(cells).tasks:
        for metric in metrics_of(task, manifest_of(task.key(), manifests)):
            here = []
            for cell in task.cells:
                mean = _mean(values(cell, metric))
                counts = {"learned": cell.learned, "seeds": len(cell), "failures": cell.failures}
                ends = {"mean": mean.estimate, "low": mean.low, "high": mean.high}
                here.append(cell.key(*CELL) | {"metric": metric.name} | counts | ends)
            rows += sorted(here, key=partial(_place, metric=metric))
    return table_of(cells, MEANS, rows)


def _place(row: Mapping[str, Any], metric: Metric) -> float:
    """Where a row of means stands: the lowest comes first."""
    return _order(row["mean"], metric)


def _class(
    learned: CellRows, baseline: CellRows | None, metric: Metric, comparison: Comparison | None
) -> dict[str, Any]:
    """What the best of the class is, without the verdict, which the other rows decide with it."""
    own: dict[str, Any] = {"uses": learned.uses}
    if baseline is None or comparison is None:
        return own
    typical = comparison.found.typical
    ends = {"class_typical": typical.estimate, "class_low": typical.low, "class_high": typical.high}
    names = {"best_of_class": baseline.optimizer, "class_track": baseline.track}
    return own | names | ends | {"class_mean": _known_mean(values(baseline, metric))}


def _from_best(baselines: Sequence[CellRows], metric: Metric) -> list[CellRows]:
    """The baselines by their mean of a metric, the best first; as they come where no value is better."""
    if not metric.better:
        return list(baselines)
    return sorted(baselines, key=lambda rows: (_order(values(rows, metric).mean(), metric), rows.failures))


def _best(ranked: Sequence[CellRows], metric: Metric, of_class: CellRows | None = None) -> CellRows | None:
    """The rows of the baseline with the best mean of a metric; the headline's where none is better."""
    if not metric.better:
        return best_of(ranked, of_class)
    return next((rows for rows in ranked if of_class is None or is_in_class(rows, of_class)), None)


def _compare(learned: CellRows, baseline: CellRows, metric: Metric) -> Comparison:
    mine, others = common_seeds(learned, baseline)
    own, other = values(learned, metric)[mine], values(baseline, metric)[others]
    if not metric.better:
        both = ~(np.isnan(own) | np.isnan(other))
        own, other = own[both], other[both]
    if metric.better == "lower":
        found = compare_losses(own, other, floor_of(learned, baseline))
    else:
        found = compare_scores(own, other, SCORE_GRID if metric.name == "accuracy" else 0.0)
    return Comparison(found, bool(own.size) and np.array_equal(own, other))


def _numbers(
    learned: CellRows, baseline: CellRows | None, metric: Metric, comparison: Comparison | None
) -> dict[str, Any]:
    own = {"mean": _known_mean(values(learned, metric)), "failures": learned.failures, "seeds": len(learned)}
    if baseline is None or comparison is None:
        return own | {"verdict": "not comparable: no baseline ran"}
    found = comparison.found
    return own | {
        "verdict": NO_DIRECTION,
        "baseline": baseline.optimizer,
        "baseline_track": baseline.track,
        "baseline_mean": _known_mean(values(baseline, metric)),
        "baseline_failures": baseline.failures,
        "seeds": comparison.seeds,
        "measure": found.measure,
        "typical": found.typical.estimate,
        "typical_low": found.typical.low,
        "typical_high": found.typical.high,
        "win_rate": found.win_rate.estimate if metric.better else np.nan,
        "means": found.means.estimate,
        "means_low": found.means.low,
        "means_high": found.means.high,
    }


def _known_mean(found: "np.ndarray[Any, np.dtype[np.float64]]") -> float:
    """The mean of what is known; `_mean` has its interval too, which takes long."""
    known = found[~np.isnan(found)]
    return float(np.mean(known)) if known.size else np.nan


def _mean(found: "np.ndarray[Any, np.dtype[np.float64]]") -> Interval:
    """The mean of what is known, with its interval."""
    known = found[~np.isnan(found)]
    return bootstrap_mean(known) if known.size else Interval(np.nan, np.nan, np.nan)


def _order(mean: float, metric: Metric) -> float:
    """Smaller for what is better; unknown means come last."""
    if np.isnan(mean):
        return np.inf
    return -mean if metric.better == "higher" else mean
