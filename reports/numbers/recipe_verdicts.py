"""What holds for a recipe: its trainings read as one optimizer with a random effect, against the best baseline."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from l2obench.bench.stats import compare_losses
from l2obench.bench.stats.recipes import RecipeComparison, compare_recipe, decide_recipes
from l2obench.reports.cells.table import CELL, CellRows, CellTable, TaskRows, table_of_cells
from l2obench.reports.floors import floor_of
from l2obench.reports.numbers.counting import (
    best_baseline,
    fact,
    manifest_of,
    meta_training_of,
    recipe_of,
    table_of,
)
from l2obench.reports.numbers.familiarity import name_family
from l2obench.reports.numbers.recipes import recipe_key

LEAST = 2
"""Trainings of one recipe from which it has a row."""
FEWEST_SEEDS = 2
COLUMNS = ["task", "rule", "trainings", "baseline", "verdict", "typical_ratio", "typical_low", "typical_high"]
COLUMNS += ["between_trainings", "lowest", "highest", "better_than_baseline", "seeds", "p_value", "failures", "of"]
COLUMNS += ["uses", "best_of_class", "class_verdict", "class_ratio", "class_low", "class_high"]


def recipe_verdicts(cells: pd.DataFrame | CellTable, manifests: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Every recipe of which several checkpoints ran, against the best baseline of each task.

    Checkpoints are of one recipe where nothing but the seed differs, in the trainings that they go on from either.
    `typical_ratio` is the geometric mean of ratios over trainings and seeds; its interval speaks for new trainings and
    new seeds. `between_trainings` is the standard deviation of the log ratio between trainings, `lowest` and `highest`
    are the typical ratios of single trainings, `better_than_baseline` counts those below 1. p-values are corrected by
    Holm's method for the number of rows. `of` names the checkpoints.

    Args:
        cells: rows of one run or several.
        manifests: their manifests by label; of one run, its only one.
    """
    rows: list[dict[str, Any]] = []
    compared: list[RecipeComparison | None] = []
    in_class: list[RecipeComparison | None] = []
    for task in table_of_cells(cells).tasks:
        baseline = best_baseline(task)
        for about, trainings in _recipes(task, manifests):
            row, found = _compare(trainings, baseline)
            near, alike = _compare(trainings, best_baseline(task, of_class=trainings[0]))
            rows.append(about | row | _class(trainings, near))
            compared.append(found)
            in_class.append(alike)
    decided = iter(decide_recipes([found for found in compared if found is not None]))
    for row, found in zip(rows, compared, strict=True):
        if found is not None:
            row["verdict"], row["p_value"] = next(decided)
    decided = iter(decide_recipes([found for found in in_class if found is not None]))
    for row, found in zip(rows, in_class, strict=True):
        if found is not None:
            row["class_verdict"], _ = next(decided)
    return table_of(cells, COLUMNS, rows)


def _class(trainings: list[CellRows], near: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of the comparison with the best of the class; its verdict is a reason, or comes with the others."""
    names = {"baseline": "best_of_class", "verdict": "class_verdict", "typical_ratio": "class_ratio"}
    names |= {"typical_low": "class_low", "typical_high": "class_high"}
    return {"uses": trainings[0].uses} | {name: near[key] for key, name in names.items() if key in near}


def _recipes(task: TaskRows, manifests: Mapping[str, Mapping[str, Any]]) -> list[tuple[dict[str, Any], list[CellRows]]]:
    """The trainings of each recipe on one task, each checkpoint once."""
    alike: dict[tuple[str, str, str], dict[str, tuple[dict[str, Any], CellRows]]] = {}
    for rows in task.learned_cells:
        key = rows.key(*CELL)
        manifest = manifest_of(key, manifests)
        recipe = recipe_of(rows, manifest)
        if not isinstance(recipe, Mapping):
            continue
        same = recipe_key(recipe, fact(meta_training_of(key["optimizer"], manifest), "horizon"))
        place = (name_family(key["optimizer"]), key["track"], same)
        alike.setdefault(place, {}).setdefault(str(rows.first("checkpoint_sha256")), (key, rows))
    found = []
    for (rule, _, _), trainings in alike.items():
        if len(trainings) >= LEAST:
            keys = [key for key, _ in trainings.values()]
            first = {name: keys[0][name] for name in ("run", "task") if name in keys[0]}
            names = ", ".join(key["optimizer"] for key in keys)
            found.append((first | {"rule": rule, "of": names}, [rows for _, rows in trainings.values()]))
    return found


def _compare(trainings: list[CellRows], baseline: CellRows | None) -> tuple[dict[str, Any], RecipeComparison | None]:
    """A row without what the other rows decide with it; no comparison where the verdict is a reason."""
    row: dict[str, Any] = {"trainings": len(trainings), "failures": sum(rows.failures for rows in trainings)}
    if baseline is None:
        return row | {"verdict": "not comparable: no baseline ran"}, None
    seeds = sorted(set.intersection(*(set(rows.seeds.tolist()) for rows in [baseline, *trainings])))
    row |= {"baseline": baseline.optimizer, "seeds": len(seeds)}
    if len(seeds) < FEWEST_SEEDS:
        return row | {"verdict": f"not comparable: {len(seeds)} common seeds"}, None
    other, *own = (rows.losses[_positions(rows, seeds)] for rows in [baseline, *trainings])
    floor = floor_of(baseline, *trainings)
    single = [compare_losses(losses, other, floor) for losses in own]
    if any(found.measure == "difference" for found in single):
        return row | {"verdict": "not comparable: a loss is negative"}, None
    found = compare_recipe(own, other, floor)
    ratios = [item.typical.estimate for item in single]
    return row | {
        "typical_ratio": found.typical.estimate,
        "typical_low": found.typical.low,
        "typical_high": found.typical.high,
        "between_trainings": found.between_trainings,
        "lowest": min(ratios),
        "highest": max(ratios),
        "better_than_baseline": sum(ratio < 1 for ratio in ratios),
    }, found


def _positions(rows: CellRows, seeds: list[int]) -> NDArray[np.intp]:
    """Where each of these seeds is among the rows."""
    order = np.argsort(rows.seeds)
    return order[np.searchsorted(rows.seeds, seeds, sorter=order)]
