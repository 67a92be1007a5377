"""The facts that `l2obench info` prints of a suite, a recipe, a checkpoint file and a results folder."""

import os
import tomllib
from collections.abc import Iterator
from typing import Any

from l2obench.api.locating import find_results
from l2obench.bench.config.shipped import read_shipped
from l2obench.bench.config.suite import Suite, load_suite
from l2obench.bench.store.results_file import StoreError
from l2obench.bench.store.run_folder import RunFolder
from l2obench.optimizers.learned.checkpoint import read_checkpoint


def collect_suite_facts(name: str) -> dict[str, Any]:
    """What a suite runs.

    Args:
        name: of a suite of the package, or the path of a .toml file.

    Raises:
        SuiteError: it does not exist or makes no sense.
    """
    plan = load_suite(name)
    parts = list(_with_parts(plan))
    return {
        "kind": "suite",
        "name": name,
        "description": plan.description,
        "tasks": list(dict.fromkeys(one for part in parts for item in part.tasks for one in item.identities())),
        "optimizers": list(dict.fromkeys(one for part in parts for one in _optimizers(part))),
        "tracks": list(dict.fromkeys(track for part in parts if part.tasks for track in part.tracks)),
        "seeds": sorted({item.seeds or part.seeds for part in parts for item in part.tasks}),
        "tuning_seeds": sorted({item.tuning_seeds or part.tuning_seeds for part in parts for item in part.tasks}),
        "trainings": sum(len(list(training.recipes())) for part in parts for training in part.trainings),
    }


def collect_recipe_facts(name: str) -> dict[str, Any]:
    """Give the values of a recipe of the package, as its file has them.

    Args:
        name: of the recipe, without `.toml`.
    """
    values = tomllib.loads(read_shipped("recipes", name))
    return {"kind": "recipe", "name": name, "values": values}


def collect_checkpoint_facts(path: str) -> dict[str, Any]:
    """Say what a checkpoint file holds.

    Args:
        path: of the file.

    Raises:
        CheckpointError: it is none.
    """
    found = read_checkpoint(path)
    return {
        "kind": "checkpoint",
        "path": path,
        "optimizer": found.optimizer,
        "use": f"-o '{found.optimizer}[checkpoint={path}]'",
        "sha256": found.sha256,
        "meta_parameters": sum(tensor.numel() for tensor in found.tensors.values()),
        "hyperparameters": dict(found.hyperparameters),
        "recipe": dict(found.recipe),
    }


def collect_results_facts(given: str) -> dict[str, Any]:
    """What a results folder holds, and what it still lacks.

    Args:
        given: the path of a folder of results, or the name of a suite.

    Raises:
        StoreError: it is no run, or is damaged.
    """
    run = RunFolder(find_results(given))
    manifest, rows, timing = run.manifest, run.read("cells"), run.read("timing")
    planned = manifest.get("cells") or []
    return {
        "kind": "results",
        "path": str(run.folder),
        "suite": manifest.get("suite"),
        "description": manifest.get("description"),
        "cells": int(rows.groupby(["task", "optimizer", "track"]).ngroups),
        "planned": len(planned),
        "trajectories": len(rows),
        "statuses": {str(status): int(count) for status, count in rows["status"].value_counts().items()},
        "tasks": list(dict.fromkeys(rows["task"])),
        "optimizers": list(dict.fromkeys(rows["optimizer"])),
        "timed_tasks": int(timing["task"].nunique()),
        "tasks_timed_under_load": list(dict.fromkeys(timing.loc[timing["under_load"].eq(True), "task"])),
        "commands": list(dict.fromkeys(start.get("command") for start in manifest.get("starts") or [])),
        "environment": manifest.get("environment") or {},
    }


def is_results(given: str) -> bool:
    """Say whether a folder of results is found under a path or the name of a suite.

    Args:
        given: a path or the name of a suite.
    """
    try:
        return RunFolder(find_results(given)).exists()
    except StoreError:
        return False


def is_file(given: str) -> bool:
    """Say whether this is the path of a file that exists.

    Args:
        given: a path or any other text.
    """
    return os.path.isfile(given)


def _with_parts(plan: Suite) -> Iterator[Suite]:
    """A suite and all that it includes."""
    yield plan
    for part in plan.parts:
        yield from _with_parts(part)


def _optimizers(plan: Suite) -> list[str]:
    return [*plan.optimizers, *plan.trained(), *(one for item in plan.tasks for one in item.optimizers)]
