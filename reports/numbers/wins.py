"""On how many tasks a learned optimizer ends below a baseline, untuned or tuned, the tasks it was trained on apart."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from l2obench.reports.cells.table import CellTable, TaskRows, table_of_cells
from l2obench.reports.numbers.comparison import compare, outcomes
from l2obench.reports.numbers.counting import groups, manifest_of, table_of
from l2obench.reports.numbers.familiarity import KIN, OTHERS, TRAINED, familiarity, training_families
from l2obench.reports.numbers.tally import quantile_of_ratios

COLUMNS = [
    "optimizer",
    "against",
    "against_uses",
    "families",
    "tasks",
    "lower",
    "clearly_lower",
    "clearly_higher",
    "mixed",
]
COLUMNS += ["median_ratio", "failing_tasks"]
TRACKS = ("default", "tuned")
ALL = "all"


def wins(cells: pd.DataFrame | CellTable, manifests: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Every learned optimizer against every baseline in each of its tracks, counted over tasks.

    A task is `lower` where the ratio of mean final losses, on the seeds that both ran, is below 1. It is
    `clearly_lower`, `clearly_higher` or `mixed` where the verdict is better, worse or mixed, corrected for all tasks
    against this baseline. `families` parts the tasks into those that the optimizer was trained on, others of the same
    name (other parameters), and those of names that training did not see.
    `failing_tasks` are those where any of its seeds failed.

    Args:
        cells: rows of one run or several.
        manifests: their manifests by label; of one run, its only one.
    """
    compared = [row for task in table_of_cells(cells).tasks for row in _on_task(task, manifests)]
    table = pd.DataFrame(compared)
    if table.empty:
        return table_of(cells, COLUMNS, [])
    found = []
    for key, alike in groups(table, "optimizer", "against", "against_uses"):
        rows = alike.assign(outcome=[outcome for outcome, _ in outcomes(list(alike["comparison"]))])
        parts = [(name, rows[rows["families"] == name]) for name in (TRAINED, KIN, OTHERS)]
        found += [key | {"families": name} | _counts(part) for name, part in [*parts, (ALL, rows)] if len(part)]
    return table_of(cells, COLUMNS, found)


def name_opponent(optimizer: str, track: str) -> str:
    """Name a baseline as the column `against` does.

    Args:
        optimizer: the baseline's identity.
        track: `default` or `tuned`.

    Example:
        >>> name_opponent("adam", "default"), name_opponent("adam", "tuned")
        ('adam, untuned', 'adam, tuned')
    """
    return f"{optimizer}, {'untuned' if track == 'default' else track}"


def _on_task(task: TaskRows, manifests: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    baselines = [cell for cell in task.cells if not cell.learned]
    for own in task.learned_optimizers:
        key = own.key("task", "optimizer")
        families = training_families(own, manifest_of(key, manifests))
        for rows in baselines:
            comparison = compare(own, rows)
            if comparison.seeds:
                found.append(
                    key
                    | {"against": name_opponent(rows.optimizer, rows.track)}
                    | {"against_uses": rows.uses}
                    | {"families": familiarity(key["task"], families), "failed": own.failures > 0}
                    | {"ratio": comparison.ratio.estimate, "comparison": comparison}
                )
    return found


def _counts(rows: pd.DataFrame) -> dict[str, Any]:
    ratios = rows["ratio"].astype(float)
    return {
        "tasks": len(rows),
        "lower": int((ratios < 1).sum()),
        "clearly_lower": int((rows["outcome"] == "better").sum()),
        "clearly_higher": int((rows["outcome"] == "worse").sum()),
        "mixed": int((rows["outcome"] == "mixed").sum()),
        "median_ratio": quantile_of_ratios(ratios, 0.5),
        "failing_tasks": int(rows["failed"].sum()),
    }
