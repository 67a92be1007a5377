"""The chain of a cell: its tuning, then its evaluation, as assignments that are given out one after the other.

A chain is a generator. It yields an assignment, is sent the result or has the failure thrown in, and returns the rows
of the cell. It runs where the run's folder is; an executor decides where its assignments are done.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from l2obench.bench.config.budget import parse_budget
from l2obench.bench.config.registry import identify, optimizer_registry, task_registry
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Cell
from l2obench.bench.failures import Failure
from l2obench.bench.measure import trials, tuning
from l2obench.bench.run import jobs, tuning_jobs
from l2obench.bench.run.jobs import is_foreign
from l2obench.bench.run.work import Assignment
from l2obench.bench.store.results_file import StoreError, cell_name
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.store.schemas import FORMAT, STEP_TIMES
from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.bridged.torch_optim import TorchOptimizer
from l2obench.optimizers.learned.fused.rule import can_have_fused_step
from l2obench.tasks.base import Task

Rows = list[dict[str, Any]]
Chain = Generator[Assignment, Any, Rows]


def describe(cell: Cell, options: RunOptions) -> dict[str, Any]:
    """Describe all that decides a cell's numbers, times excepted.

    A file of results carries this description. Where it differs, the file holds other results and is a conflict.

    Args:
        cell: the cell.
        options: `device`, `compile` and `fused` are used.

    Returns:
        Values that JSON can hold. A key that holds for no earlier cell is left out where it says nothing, so that
        cells of earlier versions are still found.
    """
    description = {"format": FORMAT, **_identify(cell), "seeds": cell.seeds, "device": options.device}
    if start := getattr(cell.task, "start_sha256", None):
        description |= {"start_sha256": start}
    description |= describe_sources(cell.task, [cell.optimizer])
    if _is_compiled(cell, options):
        description |= {"compiled": True}
    if options.uses_fused_steps and can_have_fused_step(cell.optimizer):
        description |= {"fused": True}
    if cell.track == "tuned":
        protocol = tuning.HALVING_PROTOCOL if cell.halving else tuning.PROTOCOL
        description |= {"tuning": protocol, "tuning_seeds": cell.tuning_seeds}
    if parse_budget(cell.track) is not None:
        description |= {**trials.describe_search(cell.optimizer, cell.track), "tuning_seeds": cell.tuning_seeds}
    return description


def describe_sources(task: Task, optimizers: Sequence[Optimizer]) -> dict[str, Any]:
    """Describe the code of plugins that take part: results of changed code are other results. Empty for ours.

    Args:
        task: the task.
        optimizers: those that run on it.
    """
    sources = {identify(optimizer): optimizer_registry().source(optimizer) for optimizer in optimizers}
    known = {
        "task_source": task_registry().source(task),
        "optimizer_sources": {name: source for name, source in sources.items() if source is not None},
    }
    return {key: value for key, value in known.items() if value}


def make_chain(
    cell: Cell,
    folder: RunFolder,
    step_time: Mapping[str, Any],
    options: RunOptions,
    unusable: Failure | None = None,
) -> Chain:
    """Make the chain of one cell. Where an assignment fails, the rows say so.

    Args:
        cell: what to compute.
        folder: where its tuning is kept.
        step_time: the optimizer's row of the task's timing pass; empty where there is none.
        options: how to compute it.
        unusable: why the cell cannot be run at all; its rows then say only that.

    Raises:
        StoreError: the folder is damaged or cannot be written; no row may claim that the cell was run.
    """
    common = {
        **_identify(cell),
        "learned": unusable is None and bool(cell.optimizer.meta_parameters),
        "steps": cell.task.horizon,
        "final_window": cell.task.final_window,
        "floor": float(cell.task.floor),
        # A cell is written once: it gets no time that must not be quoted. The file of the timing pass has it, marked.
        **{half: None if step_time.get("under_load") else step_time.get(half) for half in STEP_TIMES},
        "hyperparameters": _hyperparameters(cell.optimizer),
        "tuning_passes": 0,
    }
    rows: Rows = []
    lr, chosen = None, None
    own = asdict(replace(options, compile=_is_compiled(cell, options), fused=options.uses_fused_steps))
    try:
        if unusable is not None:
            raise unusable
        if cell.track == "tuned":
            found = yield from _tune(cell, folder, options, own)
            lr = found.lr
            rule = cell.optimizer.model_copy(update={"lr": lr})
            common |= {"hyperparameters": _hyperparameters(rule), "tuning_passes": found.passes}
        elif parse_budget(cell.track) is not None:
            chosen, passes = yield from _search(cell, folder, options, own)
            rule = trials.with_hyperparameters(cell.optimizer, chosen, cell.task)
            common |= {"hyperparameters": _hyperparameters(rule), "tuning_passes": passes}
        batch = options.seeds_at_once or cell.seeds
        for first in range(0, cell.seeds, batch):
            seeds = list(range(first, min(first + batch, cell.seeds)))
            arguments = {"seeds": seeds, "lr": lr, "options": own, "heldout_points": cell.heldout_points}
            outcomes = yield _assign(cell, jobs.evaluate, **arguments, chosen=chosen)
            rows += [common | {"seed": seed} | outcome for seed, outcome in zip(seeds, outcomes, strict=True)]
    except Failure as failure:
        failed = {"status": failure.status, "reason": failure.reason}
        rows += [common | failed | {"seed": index} for index in range(len(rows), cell.seeds)]
    return rows


def _identify(cell: Cell) -> dict[str, Any]:
    """What ran, as rows and descriptions say it."""
    task, optimizer, track = cell.key
    return {
        "task": task,
        "task_version": cell.task.version,
        "optimizer": optimizer,
        "optimizer_version": cell.optimizer.version,
        "checkpoint_sha256": getattr(cell.optimizer, "checkpoint_sha256", None),
        "track": track,
    }


def _tune(
    cell: Cell, folder: RunFolder, options: RunOptions, own: dict[str, Any]
) -> Generator[Assignment, Any, tuning.Tuning]:
    """The tuning of a cell, read from its file if that is finished."""
    name, description = cell_name(*cell.key), describe(cell, options)
    # Tuning has seeds of its own: a cell with more evaluation seeds takes the same learning rate.
    del description["seeds"]
    if options.force or not folder.is_finished("tuning", name, description):
        found = yield _assign(cell, tuning_jobs.tune, count=cell.tuning_seeds, halving=cell.halving, options=own)
        result = tuning.Tuning(**found)
        # A worker elsewhere may have read the checkpoint from another path, which is part of the identity.
        optimizer = cell.key[1]
        folder.write("tuning", name, description, [row | {"optimizer": optimizer} for row in result.rows])
        return result
    frame = folder.read_one("tuning", name)
    rates = frame.loc[frame["chosen"].eq(True), ["lr", "at_edge"]].drop_duplicates()
    if len(rates) != 1:
        raise StoreError(f"the tuning file of {' '.join(cell.key)} is damaged: it must have one chosen learning rate")
    chosen = rates.iloc[0]
    return tuning.Tuning([], float(chosen["lr"]), bool(chosen["at_edge"]), int(frame["steps"].sum()))


def _search(
    cell: Cell, folder: RunFolder, options: RunOptions, own: dict[str, Any]
) -> Generator[Assignment, Any, tuple[trials.Values, int]]:
    """The hyperparameters that a budget chose and the passes of the search, read from its file if that is finished."""
    name, description = cell_name(*cell.key), describe(cell, options)
    if options.force or not folder.is_finished("trials", name, description):
        about = {"track": cell.track, "count": cell.tuning_seeds, "seeds": cell.seeds}
        found = trials.Search(**(yield _assign(cell, tuning_jobs.search, **about, options=own)))
        # A worker elsewhere may have read the checkpoint from another path, which is part of the identity.
        optimizer = cell.key[1]
        folder.write("trials", name, description, [row | {"optimizer": optimizer} for row in found.rows])
        return found.chosen, found.passes
    frame = folder.read_one("trials", name)
    chosen = frame.loc[frame["chosen"].eq(True), "hyperparameters"].unique()
    if len(chosen) != 1:
        raise StoreError(f"the trials of {' '.join(cell.key)} are damaged: they must have one chosen trial")
    return json.loads(chosen[0]), int(frame.loc[frame["pool"].eq("tuning"), "steps"].sum())


def _is_compiled(cell: Cell, options: RunOptions) -> bool:
    """Plugins and torch optimizers run as they stand: torch.compile may fail on them, or change what they do."""
    as_it_stands = is_foreign(cell.task) or is_foreign(cell.optimizer) or isinstance(cell.optimizer, TorchOptimizer)
    return options.compile and not as_it_stands


def _hyperparameters(rule: Optimizer) -> str:
    """All hyperparameters of a rule as JSON, sorted, without the checkpoint."""
    values = {name: getattr(rule, name) for name in type(rule).model_fields if name != "checkpoint"}
    return json.dumps(values, sort_keys=True, default=str)


def _assign(cell: Cell, job: jobs.Job, **arguments: Any) -> Assignment:
    return Assignment(job, cell.task, [cell.optimizer], arguments, cell.resources)
