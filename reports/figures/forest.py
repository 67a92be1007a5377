"""A forest plot as places on a logarithmic axis: a row for each task, grouped by family, a lane for each optimizer."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from l2obench.reports.numbers.tally import quantile_of_ratios

AXES = {1.5: (1.25, 1.5), 2.0: (1.5, 2.0), 4.0: (2.0, 4.0), 10.0: (3.0, 10.0), 100.0: (10.0, 100.0)}
"""Ends of the axis, each with its ticks above 1; those below are their reciprocals."""
INSIDE = 0.85
"""Share of the points for which the axis has room. Those beyond it stand at its end, with an arrow."""


@dataclass(frozen=True)
class Lane:
    """One optimizer on one task. Places are in hundredths of the axis."""

    optimizer: int
    """Its number, as in the legend."""
    point: float | None
    """None where there is no ratio."""
    beyond: int
    """−1 where the point lies below the axis, 1 where it lies above."""
    low: float
    high: float
    """Ends of the interval, cut at the axis."""
    cut: tuple[bool, bool]
    """Whether the interval goes on beyond the axis."""
    hollow: bool
    """Too few seeds: no interval is drawn."""
    row: int
    """Of the table that the plot is made from."""


@dataclass(frozen=True)
class TaskRow:
    """One task, with the lanes of the optimizers that ran it."""

    task: str
    lanes: tuple[Lane, ...]


@dataclass(frozen=True)
class Group:
    """The tasks of one family, the lowest ratio of their first optimizer first."""

    family: str
    tasks: tuple[TaskRow, ...]


@dataclass(frozen=True)
class Forest:
    """All that is drawn."""

    ticks: tuple[tuple[float, float], ...]
    """Place and value of each."""
    groups: tuple[Group, ...]
    tasks: int


def make_forest(table: pd.DataFrame, optimizers: Sequence[object]) -> Forest:
    """Place every comparison on one axis.

    Args:
        table: one row a comparison: `task`, `family`, `key` (which of `optimizers`), `measure`, `typical`,
            `typical_low`, `typical_high`, `verdict`.
        optimizers: what the column `key` holds, in the order of the legend.

    Example:
        >>> rows = pd.DataFrame({"task": ["a"], "family": ["a"], "key": [0], "measure": ["ratio"], "typical": [0.5]})
        >>> forest = make_forest(rows.assign(typical_low=0.4, typical_high=0.6, verdict="better"), [0])
        >>> forest.groups[0].tasks[0].lanes[0].point
        0.0
    """
    end = axis_end(table.loc[table["measure"].eq("ratio"), "typical"])
    groups = []
    for family, rows in table.reset_index(names="row").groupby("family", sort=False):
        tasks = []
        for task, own in rows.groupby("task", sort=False):
            lanes = tuple(_lane(row, optimizers, end) for row in own.to_dict("records"))
            tasks.append((_first_ratio(own), TaskRow(str(task), lanes)))
        tasks.sort(key=lambda found: found[0])
        middle = quantile_of_ratios(pd.Series([ratio for ratio, _ in tasks]), 0.5)
        groups.append((np.inf if np.isnan(middle) else middle, Group(str(family), tuple(row for _, row in tasks))))
    groups.sort(key=lambda found: found[0])
    above = AXES[end]
    values = (*(1 / tick for tick in reversed(above)), 1.0, *above)
    return Forest(
        tuple((place_on_axis(value, end), value) for value in values),
        tuple(group for _, group in groups),
        int(table["task"].nunique()),
    )


def axis_end(ratios: "pd.Series[float]") -> float:
    """The upper end of an axis that has room for most of the ratios; its lower end is the reciprocal.

    Args:
        ratios: any; what is not finite and positive is left out.

    Example:
        >>> axis_end(pd.Series([0.5, 0.9, 1.2]))
        2.0
    """
    known = ratios.astype(float)
    away = np.abs(np.log(known[np.isfinite(known) & (known > 0)]))
    needed = float(np.exp(np.quantile(away, INSIDE))) if len(away) else 1.0
    return next((end for end in AXES if needed <= end * (1 + 1e-9)), max(AXES))


def place_on_axis(value: float, end: float) -> float:
    """Where a ratio stands, in hundredths of the axis, cut at its ends.

    Args:
        value: a ratio.
        end: as `axis_end` gives it.

    Example:
        >>> place_on_axis(1.0, 10.0), place_on_axis(0.0, 10.0), place_on_axis(1e9, 10.0)
        (50.0, 0.0, 100.0)
    """
    if value <= 0:
        return 0.0
    part = 0.5 + 0.5 * math.log(value) / math.log(end) if math.isfinite(value) else 1.0
    return round(100 * min(1.0, max(0.0, part)), 2)


def _lane(row: Mapping[Hashable, Any], optimizers: Sequence[object], end: float) -> Lane:
    typical, low, high = (float(row[name]) for name in ("typical", "typical_low", "typical_high"))
    drawn = row["measure"] == "ratio" and not math.isnan(typical)
    least, most = (1 - 1e-9) / end, (1 + 1e-9) * end
    return Lane(
        optimizer=list(optimizers).index(row["key"]),
        point=place_on_axis(typical, end) if drawn else None,
        beyond=(typical > most) - (typical < least) if drawn else 0,
        low=place_on_axis(low, end) if drawn else 0.0,
        high=place_on_axis(high, end) if drawn else 0.0,
        cut=(low < least, high > most),
        hollow=row["verdict"] == "too few seeds",
        row=int(row["row"]),
    )


def _first_ratio(rows: pd.DataFrame) -> float:
    """What a task is sorted by: the ratio of the first optimizer that has one; those without come last."""
    known = rows.loc[rows["measure"].eq("ratio"), "typical"].astype(float).dropna()
    return float(known.iloc[0]) if len(known) else np.inf
