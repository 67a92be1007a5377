"""What of a recipe decides: trainings of one rule side by side, by the settings in which their recipes differ."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from l2obench.bench.config.identity import IdentityError, format_identity, parse_identity
from l2obench.bench.config.recipe import Recipe
from l2obench.reports.cells.table import CellTable, learned_of, table_of_cells
from l2obench.reports.formats import format_number, join_lines
from l2obench.reports.numbers.counting import fact, groups, manifest_of, meta_training_of, recipe_of, table_of
from l2obench.reports.numbers.familiarity import name_family

COLUMNS = ["task", "rule", "settings", "trainings", "ratio", "lowest", "highest", "better_than_baseline"]
# Keys of a checkpoint's recipe that record an outcome or an origin. They differ between any two trainings.
RESULTS = {"validation_loss", "validation_criterion", "trajectories_done", "meta_steps", "seconds", "learned_weights"}
ORIGINS = {"seed", "commit", "dirty", "versions", "sources", "started_from", "task_version", "optimizer_version"}
ORIGINS |= {"sha256"}
# By rule: a parameter, the version from which the rule has it, and the value that it has in place of it before.
ADDED = {"controller": ("retreat", 4, False)}
STAGES = 16
"""Of a training that goes on from another one, and that from another one: as many are compared."""
# A setting that follows from earlier ones is left out, so those that readers ask for come first.
FIRST = ("trained_on", "trained_horizon", "estimator", "second_order", "objective", "weighting", "unroll")
Settings = dict[str, Any]


def recipes(
    cells: pd.DataFrame | CellTable, headline: pd.DataFrame, manifests: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """The headline's ratios by what the recipes of a rule's trainings differ in; seeds of one recipe are one row.

    `settings` says it as JSON. A setting that follows from those before it is left out, as the number of trajectories
    where all trainings have as many steps. `ratio` is the geometric mean over trainings of the ratio of mean final
    losses to the best baseline's, `lowest` and `highest` are the extremes, `better_than_baseline` counts those
    below one. Rules of which the run has one recipe only are left out.

    Args:
        cells: rows of one run or several.
        headline: as `l2obench.reports.numbers.tables.headline` gives it.
        manifests: their manifests by label; of one run, its only one.
    """
    known: dict[tuple[Any, ...], dict[str, Settings]] = {}
    for own in learned_of(table_of_cells(cells)):
        key = own.key("optimizer")
        manifest = manifest_of(key, manifests)
        recipe = recipe_of(own, manifest)
        horizon = fact(meta_training_of(key["optimizer"], manifest), "horizon")
        if isinstance(recipe, Mapping):
            rule = (*([key["run"]] if "run" in key else []), name_family(key["optimizer"]))
            known.setdefault(rule, {})[key["optimizer"]] = settings_of(recipe, horizon)
    found = []
    for rule, trainings in known.items():
        names = deciding(list(trainings.values()))
        for _, rows in groups(headline, "task"):
            here = rows[rows["optimizer"].isin(trainings)]
            if "run" in here:
                here = here[here["run"] == rule[0]]
            chosen = {name: {key: trainings[name].get(key) for key in names} for name in here["optimizer"]}
            labels = here["optimizer"].map(lambda name, chosen=chosen: json.dumps(chosen[name]))
            for label, same in here.groupby(labels, sort=False) if names else []:
                first = {name: same[name].iloc[0] for name in ("run", "task") if name in same}
                found.append(first | {"rule": rule[-1], "settings": label} | _summary(same["ratio"].astype(float)))
    return table_of(headline, COLUMNS, found)


def settings_of(recipe: Mapping[str, Any], horizon: float) -> Settings:
    """The settings of a recipe as a checkpoint carries it, its family without the horizon, which stands apart.

    Args:
        recipe: out of a manifest.
        horizon: steps of the family trained on; NaN where it is not recorded.
    """
    kept = {key: value for key, value in recipe.items() if key not in RESULTS | ORIGINS | {"task", "mixture"}}
    if isinstance(mixture := recipe.get("mixture"), list) and len(mixture) > 1:
        return {"trained_on": f"a mixture of {len(mixture)}", "trained_horizon": None, **kept}
    if not isinstance(task := recipe.get("task"), str):
        return {"trained_on": None, "trained_horizon": None, **kept}
    try:
        family, parameters = parse_identity(task)
    except IdentityError:
        return kept
    trained_on = format_identity(family, {key: value for key, value in parameters.items() if key != "horizon"})
    return {"trained_on": trained_on, "trained_horizon": int(horizon) if np.isfinite(horizon) else None, **kept}


def recipe_key(recipe: Mapping[str, Any], horizon: float) -> str:
    """What trainings of one recipe, and no others, have in common; those that go on from trainings, if these are alike.

    Args:
        recipe, horizon: as `settings_of` takes them.

    Example:
        >>> first = {"optimizer": "lstm", "task": "quadratic", "seed": 0}
        >>> second = {"optimizer": "lstm[checkpoint=a]", "task": "quadratic", "started_from": first}
        >>> other = {"optimizer": "lstm[checkpoint=b]", "task": "quadratic", "started_from": first | {"seed": 1}}
        >>> recipe_key(second, 100) == recipe_key(other, 100) != recipe_key(first, 100)
        True
    """
    stages: list[Settings] = []
    stage: Any = recipe
    while isinstance(stage, Mapping) and len(stages) < STAGES:
        values = {name: field.default for name, field in Recipe.model_fields.items()} | dict(stage)
        stages.append(settings_of(values, horizon) | {"optimizer": _untrained(values)})
        stage, horizon = stage.get("started_from"), math.nan
    return json.dumps(stages, sort_keys=True, default=str)


def _untrained(recipe: Mapping[str, Any]) -> str:
    """The rule that a recipe trains, as its version had it, without the meta-parameters that it begins with."""
    try:
        rule, parameters = parse_identity(str(recipe["optimizer"]))
    except IdentityError:
        return str(recipe["optimizer"])
    parameters = {name: value for name, value in parameters.items() if name != "checkpoint"}
    if rule in ADDED:
        name, since, before = ADDED[rule]
        version = recipe.get("optimizer_version")
        if isinstance(version, int) and version < since:
            parameters[name] = before
    return format_identity(rule, parameters)


def deciding(recipes: Sequence[Settings]) -> list[str]:
    """Names of the settings in which recipes differ, less those that follow from the ones before them.

    Args:
        recipes: the settings of several trainings of one rule.

    Example:
        >>> deciding([{"unroll": 5, "trajectories": 40}, {"unroll": 10, "trajectories": 20}])
        ['unroll']
    """
    every = {name: None for recipe in recipes for name in recipe}
    names: list[str] = []
    so_far: list[str] = [""] * len(recipes)
    for name in dict.fromkeys([*(name for name in FIRST if name in every), *every]):
        with_it = [before + json.dumps(recipe.get(name)) for before, recipe in zip(so_far, recipes, strict=True)]
        if len(set(with_it)) > len(set(so_far)):
            names.append(name)
            so_far = with_it
    return names


def write_settings(table: pd.DataFrame) -> pd.DataFrame:
    """Write the table's settings as a reader sees them.

    Args:
        table: with settings as JSON.
    """
    return table.assign(settings=[words(text) for text in table["settings"]])


def words(settings: str) -> str:
    """A row's settings as a reader sees them: `unroll 20, second order`; what is not set is not said.

    Args:
        settings: a JSON object.

    Example:
        >>> words('{"unroll": 20, "second_order": true, "average": null}')
        'unroll 20, second order'
    """
    said = []
    for name, value in json.loads(settings).items():
        text = name.replace("_", " ")
        if isinstance(value, bool):
            said.append(text if value else "")
        elif isinstance(value, list):
            said.append(f"{text} {', '.join(format_number(float(item)) for item in value)}")
        elif value is not None:
            said.append(f"{text} {value}")
    return join_lines(", ".join(filter(None, said)) or "not recorded")


def _summary(ratios: "pd.Series[float]") -> dict[str, Any]:
    return {
        "trainings": len(ratios),
        "ratio": float(np.exp(np.log(ratios).mean())),
        "lowest": float(ratios.min()),
        "highest": float(ratios.max()),
        "better_than_baseline": int((ratios < 1).sum()),
    }
