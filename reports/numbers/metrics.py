"""Held-out metrics of rows: their names, their values on every seed, and which values are better."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from l2obench.bench.config.task_facts import task_facts
from l2obench.reports.cells.table import CellRows

Direction = Literal["lower", "higher", ""]
Floats = NDArray[np.float64]
# What the two metrics with a column of their own have meant since the first version.
COMMON: dict[str, Direction] = {"loss": "lower", "accuracy": "higher"}


@dataclass(frozen=True)
class Metric:
    """One held-out metric of a task."""

    name: str
    better: Direction
    """Which values are better; none: the task does not say, so nothing is better or worse."""

    @property
    def worst(self) -> float:
        """What a failed seed counts as; NaN where nothing is better or worse."""
        if self.name == "accuracy":
            return 0.0
        return {"lower": np.inf, "higher": -np.inf, "": np.nan}[self.better]


def metrics_of(rows: CellRows, manifest: Mapping[str, Any]) -> list[Metric]:
    """The held-out metrics of rows of one task: loss, accuracy, then the others by name.

    The directions are those in the manifest, else those of the registered task, else those of loss and accuracy.

    Args:
        rows: of one task.
        manifest: that of their run.
    """
    names = [name for name in COMMON if not np.isnan(rows.numbers(f"heldout_{name}")).all()]
    if "heldout_metrics" in rows.table:
        names += sorted({name for text in set(rows.values("heldout_metrics")) for name in _read(text)})
    recorded = ((manifest.get("tasks") or {}).get(rows.task) or {}).get("metric_directions")
    known = recorded if isinstance(recorded, Mapping) else None
    if known is None:
        known = COMMON if set(names) <= COMMON.keys() else task_facts(rows.task).metric_directions
    return [Metric(name, _direction(known.get(name))) for name in names]


def values(rows: CellRows, metric: Metric) -> Floats:
    """A metric on every seed `[seeds]`; a seed that failed, or has none, at the worst value.

    Args:
        rows: of one cell.
        metric: one of `metrics_of`.
    """
    if metric.name in COMMON:
        found = rows.numbers(f"heldout_{metric.name}")
    else:
        texts = rows.values("heldout_metrics")
        found = np.array([_read(text).get(metric.name, np.nan) for text in texts], dtype=np.float64)
    usable = rows.ok & ~np.isnan(found)
    return np.where(usable, found, metric.worst)


def _direction(stated: Any) -> Direction:
    return stated if stated in ("lower", "higher") else ""


# A table, its verdicts and its means read the same texts.
@lru_cache(maxsize=20_000)
def _parsed(text: str) -> dict[str, float]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    numbers = found.items() if isinstance(found, dict) else ()
    return {
        str(name): float(value)
        for name, value in numbers
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _read(text: Any) -> dict[str, float]:
    """The metrics of a row by name; of what is no JSON object of numbers, nothing."""
    return _parsed(text) if isinstance(text, str) else {}
