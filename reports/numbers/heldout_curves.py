"""Held-out metrics over the steps, as curves with bands, where a run has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.stats import interquartile_mean
from l2obench.reports.cells.table import CellRows, CellTable, table_of_cells
from l2obench.reports.numbers.bands import band
from l2obench.reports.numbers.counting import groups, manifest_of
from l2obench.reports.numbers.curves import MetricCurve, label_curve
from l2obench.reports.numbers.metrics import Direction, metrics_of
from l2obench.reports.numbers.reference import main_tracks


@dataclass(frozen=True)
class HeldoutPlot:
    """One metric of one task in one run; `run` is empty where there is only one."""

    task: str
    run: str
    title: str
    metric: str
    better: Direction
    curves: list[MetricCurve]


def heldout_plots(
    cells: pd.DataFrame | CellTable, heldout: pd.DataFrame, manifests: Mapping[str, Mapping[str, Any]]
) -> list[HeldoutPlot]:
    """The held-out curves of every task and metric that a run recorded, in the order of the tasks.

    Each optimizer comes in its tuned track, or in its default one where it has no other.

    Args:
        cells: rows of the kind `cells`, of one run or several.
        heldout: rows of the kind `heldout`, of the same runs; empty for runs of earlier versions.
        manifests: their manifests by label; of one run, its only one.
    """
    if heldout.empty:
        return []
    found = []
    recorded = {tuple(key.values()): rows for key, rows in groups(heldout, "task")}
    for task in table_of_cells(cells).tasks:
        key = task.key("task")
        if (here := recorded.get(tuple(key.values()))) is None:
            continue
        title = f"{key['task']} in {key['run']}" if "run" in key else key["task"]
        for metric in metrics_of(task, manifest_of(key, manifests)):
            rows = here[here["metric"] == metric.name]
            curves = [curve for own in main_tracks(task) if (curve := _curve(own, rows)) is not None]
            if curves:
                found.append(HeldoutPlot(key["task"], key.get("run", ""), title, metric.name, metric.better, curves))
    return found


def _curve(cell: CellRows, heldout: pd.DataFrame) -> MetricCurve | None:
    """The curve of one cell; None where no seed that finished has one."""
    optimizer, track = cell.optimizer, cell.track
    finished = cell.seeds[cell.ok]
    rows = heldout[heldout["optimizer"].eq(optimizer) & heldout["track"].eq(track) & heldout["seed"].isin(finished)]
    by_seed = [
        dict(zip(steps, values, strict=False)) for steps, values in zip(rows["steps"], rows["values"], strict=True)
    ]
    # All seeds of a cell have the same steps, unless a file was put together from several runs.
    steps = sorted(set.intersection(*map(set, by_seed))) if by_seed else []
    if not steps:
        return None
    values = np.array([[seed[step] for step in steps] for seed in by_seed], dtype=np.float64)
    values = np.where(np.isnan(values), np.inf, values)
    middle = interquartile_mean(values, axis=0)
    with np.errstate(invalid="ignore"):  # quantiles between two infinite means
        low, high = band(values) if len(values) > 1 else (middle, middle)
    return MetricCurve(
        optimizer=optimizer,
        label=label_curve(cell),
        learned=cell.learned,
        track=track,
        steps=np.array(steps, dtype=np.float64),
        middle=middle,
        low=np.where(np.isnan(low), np.inf, low),
        high=np.where(np.isnan(high), np.inf, high),
    )
