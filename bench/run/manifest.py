"""The manifest of a run: what was asked, of what, on which machine, with which data and at what cost to train."""

from collections.abc import Mapping, Sequence
from typing import Any

from l2obench.bench.config.optimizer_facts import class_of
from l2obench.bench.config.registry import optimizer_registry, task_registry
from l2obench.bench.config.suite import Cell
from l2obench.bench.measure.costs import optimizer_costs, task_costs
from l2obench.bench.measure.load import Load
from l2obench.bench.store.environment import environment
from l2obench.bench.store.run_folder import RunFolder
from l2obench.foundation.global_settings import settings_kept
from l2obench.optimizers.learned.base import LearnedOptimizer


def make_manifest(
    folder: RunFolder,
    about: Mapping[str, Any],
    cells: Sequence[Cell],
    sources: Mapping[str, dict[str, Any]],
    device: str,
) -> dict[str, Any]:
    """Make the manifest: this start, and the cells and sources of earlier ones in the folder.

    Args:
        folder: the folder, with the manifest of an earlier start or without.
        about: the suite and the command.
        cells: what is to run.
        sources: for each task, where its data come from.
        device: the torch device.
    """
    earlier = folder.manifest if folder.exists() else {}
    plan = {(item["task"], item["optimizer"], item["track"]): item for item in earlier.get("cells") or []}
    tasks, recipes = dict(earlier.get("tasks", {})), dict(earlier.get("recipes", {}))
    costs = {kind: dict(earlier.get("costs", {}).get(kind, {})) for kind in ("tasks", "optimizers")}
    classes = dict(earlier.get("classes") or {})
    files, plugins = dict(earlier.get("sources") or {}), dict(earlier.get("plugins") or {})
    for cell in cells:
        task, optimizer, track = cell.key
        files |= sources.get(task, {})
        tasks[task] = {
            "parameters": cell.task.model_dump(mode="json"),
            "sources": sorted(sources.get(task, {})),
            "floor": float(cell.task.floor),
            "metric_directions": dict(cell.task.metric_directions),
        }
        for identity, source in (
            (task, task_registry().source(cell.task)),
            (optimizer, optimizer_registry().source(cell.optimizer)),
        ):
            plugins |= {identity: source} if source is not None else {}
        if isinstance(cell.optimizer, LearnedOptimizer) and cell.optimizer.checkpoint_sha256:
            recipes[cell.optimizer.checkpoint_sha256] = cell.optimizer.recipe
        plan[cell.key] = {"task": task, "optimizer": optimizer, "track": track, "seeds": cell.seeds}
        plan[cell.key] |= {"heldout_points": cell.heldout_points}
        if task not in costs["tasks"]:
            with settings_kept():
                costs["tasks"][task] = task_costs(cell.task)
        classes[optimizer] = class_of(cell.optimizer)
        with settings_kept():
            costs["optimizers"][optimizer] = optimizer_costs(cell.optimizer)
    start = {**about, "environment": environment(device)}
    return {
        **start,
        "sources": files,
        "tasks": tasks,
        "recipes": recipes,
        **({"plugins": plugins} if plugins else {}),
        "classes": classes,
        "cells": list(plan.values()),
        "costs": costs,
        **({"timing": earlier["timing"]} if "timing" in earlier else {}),
        "starts": [*earlier.get("starts", []), start],
    }


def with_loads(
    manifest: Mapping[str, Any],
    step_times: Mapping[str, Mapping[str, Mapping[str, Any]]],
    timed: Sequence[str],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Add to a manifest what other processes did while this start measured step times, and the command that does so.

    Args:
        manifest: of the run, as it is.
        step_times: for each task its rows of `timing`, by optimizer.
        timed: the tasks that this start timed.
        about: the suite and the command of this start.
    """
    loads = dict(manifest.get("timing", {}))
    for task in timed:
        rows = step_times[task].values()
        # Rows of optimizers that were given up in an earlier attempt have no load.
        known = next((row for row in rows if row.get("processors")), {})
        loads[task] = {name: known.get(name) for name in Load(None, 0).columns()} | {"command": about.get("command")}
    return {**manifest, "timing": loads}
