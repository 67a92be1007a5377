"""Learned optimizers against each other: several of one run, or one of several runs, on the seeds that both ran."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from itertools import combinations
from typing import Any

import pandas as pd

from l2obench.reports.cells.table import CellRows, CellTable, table_of_cells
from l2obench.reports.numbers.answer import Answer
from l2obench.reports.numbers.comparison import Comparison, compare, outcomes
from l2obench.reports.numbers.familiarity import name_family
from l2obench.reports.numbers.side_by_side import SAME, differences
from l2obench.reports.numbers.tally import NOT_COMPARABLE, tally

OWN, OTHER = ["run", "optimizer", "track"], ["against_run", "against", "against_track"]
COLUMNS = [*OWN, *OTHER, "task", "verdict", "measure", "typical", "typical_low", "typical_high", "seeds"]
COUNTS = [*OWN, *OTHER, "tasks", "lower", "equal", "higher", "better", "worse", "mixed", "typical_ratio"]
# Two optimizers have versions of their own.
SAME_TASK = {column: name for column, name in SAME.items() if column != "optimizer_version"}


def between(
    cells: pd.DataFrame | CellTable, manifests: Mapping[str, Mapping[str, Any]], answers: Sequence[Answer]
) -> pd.DataFrame:
    """Compare each learned optimizer with every one before it, task by task.

    `typical` divides its final loss by the other's; where a loss is negative it is the difference. Verdicts are
    corrected by Holm's method for the number of rows. Tasks that differ between two runs in version, horizon or data
    are not comparable.

    Args:
        cells: rows of one run or several.
        manifests: by the label of their run.
        answers: of the optimizers that are compared, in their order.

    Returns:
        One row for each pair and task that both ran.
    """
    by_key: dict[tuple[str, str, str], dict[str, CellRows]] = {}
    for task in table_of_cells(cells).tasks:
        for cell in task.learned_cells:
            run = str(cell.first("run")) if "run" in cells else ""
            by_key.setdefault((run, cell.optimizer, cell.track), {})[cell.task] = cell
    found: list[dict[str, Any]] = []
    compared: list[Comparison | None] = []
    for other, own in combinations([(answer.run, answer.optimizer, answer.track) for answer in answers], 2):
        place = dict(zip([*OWN, *OTHER], [*own, *other], strict=True))
        for name, rows in by_key[own].items():
            if (first := by_key[other].get(name)) is None:
                continue
            apart = differences(rows, first, manifests, SAME_TASK) if own[0] != other[0] else []
            comparison = None if apart else compare(rows, first)
            compared.append(comparison)
            found.append(
                place | {"task": name, "verdict": f"{NOT_COMPARABLE}: {'; '.join(apart)}"} | _numbers(comparison)
            )
    for row, (outcome, _) in zip(found, outcomes(compared), strict=True):
        row["verdict"] = outcome or row["verdict"]
    return pd.DataFrame(found, columns=COLUMNS)


def count_between(table: pd.DataFrame) -> pd.DataFrame:
    """Count the comparisons of each pair over tasks.

    Args:
        table: as `between` gives it.

    Returns:
        One row for each pair with a task that can be compared; `typical_ratio` is the median over tasks.
    """
    found = []
    rows = table.assign(family=table["task"].map(name_family), higher_is_better=False)
    for key, pair in rows.groupby([*OWN, *OTHER], sort=False):
        counted = tally(pair)
        if counted is None:
            continue
        place = dict(zip([*OWN, *OTHER], key, strict=True))
        counts = {"tasks": counted.tasks, "lower": counted.lower, "equal": counted.equal, "higher": counted.higher}
        verdicts = {name: counted.verdicts[name] for name in ("better", "worse", "mixed")}
        found.append(place | counts | verdicts | {"typical_ratio": counted.ratio})
    return pd.DataFrame(found, columns=COUNTS)


def _numbers(comparison: Comparison | None) -> dict[str, Any]:
    if comparison is None or not comparison.seeds:
        return {}
    ends = dict(zip(("typical", "typical_low", "typical_high"), astuple(comparison.found.typical), strict=True))
    return {"measure": comparison.found.measure, "seeds": comparison.seeds, **ends}
