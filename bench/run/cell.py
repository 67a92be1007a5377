"""The chain of a cell: its tuning, then its evaluation, as assignments that are given out one after the other.

A chain is a generator. It yields an assignment, is sent its result or has its failure thrown in, and returns the rows
of the cell. It runs where the run's folder is; the assignments are done wherever an executor does them.
"""

import json
from collections.abc import Generator
from typing import Any

from l2obench.bench.config.suite import Cell
from l2obench.bench.failures import Failure
from l2obench.bench.measure import tuning
from l2obench.bench.run import jobs
from l2obench.bench.run.work import Assignment, is_foreign
from l2obench.bench.store.run_folder import FORMAT, RunFolder, cell_name
from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.bridged.torch_optim import TorchOptimizer

Rows = list[dict[str, Any]]
Chain = Generator[Assignment, Any, Rows]


def describe(cell: Cell, device: str, compile: bool = False) -> dict[str, Any]:
    """All that decides a cell's numbers, clocks excepted."""
    description = {"format": FORMAT, **identified(cell), "seeds": cell.seeds, "device": device}
    if start := getattr(cell.task, "start_sha256", None):
        description |= {"start_sha256": start}
    if _compiled(cell, compile):
        description |= {"compiled": True}
    if cell.track == "tuned":
        protocol = tuning.HALVING_PROTOCOL if cell.halving else tuning.PROTOCOL
        description |= {"tuning": protocol, "tuning_seeds": cell.tuning_seeds}
    return description


def identified(cell: Cell) -> dict[str, Any]:
    """What ran, as its rows and descriptions say it."""
    task, optimizer, track = cell.key
    return {
        "task": task,
        "task_version": cell.task.version,
        "optimizer": optimizer,
        "optimizer_version": cell.optimizer.version,
        "checkpoint_sha256": getattr(cell.optimizer, "checkpoint_sha256", None),
        "track": track,
    }


def chain(
    cell: Cell,
    run: RunFolder,
    clock: dict[str, Any],
    *,
    device: str,
    force: bool = False,
    seeds_at_once: int | None = None,
    memory: float | None = None,
    compile: bool = False,
    unusable: Failure | None = None,
) -> Chain:
    """The chain of one cell; where an assignment fails, the rows say so.

    Args:
        cell: what to compute.
        run: where its tuning is kept.
        clock: its row of the timing pass.
        device: the torch device.
        force: tune again, even if it was.
        seeds_at_once: replicas in one rollout; none: all seeds together.
        memory: bytes that replicas may take; those that do not fit run later. None: half of what is free.
        compile: run whole steps of our own tasks and optimizers as one program.
        unusable: why the cell cannot be run at all.

    Raises:
        StoreError: the folder's trouble, not the cell's: no row may claim that the cell was run.
    """
    common = {
        **identified(cell),
        "learned": unusable is None and bool(cell.optimizer.meta_parameters),
        "steps": cell.task.horizon,
        "final_window": cell.task.final_window,
        "grad_seconds": clock.get("grad_seconds"),
        "update_seconds": clock.get("update_seconds"),
        "hyperparameters": hyperparameters(cell.optimizer),
        "tuning_passes": 0,
    }
    rows: Rows = []
    lr = None
    options = {"device": device, "memory": memory, "compile": _compiled(cell, compile)}
    try:
        if unusable is not None:
            raise unusable
        if cell.track == "tuned":
            chosen = yield from _tuned(cell, run, options, force)
            lr = chosen.lr
            rule = cell.optimizer.model_copy(update={"lr": lr})
            common |= {"hyperparameters": hyperparameters(rule), "tuning_passes": chosen.passes}
        batch = seeds_at_once or cell.seeds
        for first in range(0, cell.seeds, batch):
            seeds = list(range(first, min(first + batch, cell.seeds)))
            outcomes = yield _assignment(cell, jobs.evaluate, seeds=seeds, lr=lr, **options)
            rows += [common | {"seed": seed} | outcome for seed, outcome in zip(seeds, outcomes, strict=True)]
    except Failure as failure:
        failed = {"status": failure.status, "reason": failure.reason}
        rows += [common | failed | {"seed": index} for index in range(len(rows), cell.seeds)]
    return rows


def _tuned(
    cell: Cell, run: RunFolder, options: dict[str, Any], force: bool
) -> Generator[Assignment, Any, tuning.Tuning]:
    """The tuning of a cell, from its file if it is finished."""
    name, description = cell_name(*cell.key), describe(cell, options["device"], options["compile"])
    del description["seeds"]
    if force or not run.finished("tuning", name, description):
        found = yield _assignment(cell, jobs.tune, count=cell.tuning_seeds, halving=cell.halving, **options)
        result = tuning.Tuning(**found)
        optimizer = cell.key[1]  # a worker elsewhere may have read the checkpoint from another place
        run.write("tuning", name, description, [row | {"optimizer": optimizer} for row in result.rows])
        return result
    frame = run.read_one("tuning", name)
    chosen = frame[frame["chosen"]].iloc[0]
    return tuning.Tuning([], float(chosen["lr"]), bool(chosen["at_edge"]), int(frame["steps"].sum()))


def _compiled(cell: Cell, wanted: bool) -> bool:
    """Strangers' code runs as it stands, and so do torch optimizers."""
    as_it_stands = is_foreign(cell.task) or is_foreign(cell.optimizer) or isinstance(cell.optimizer, TorchOptimizer)
    return wanted and not as_it_stands


def hyperparameters(rule: Optimizer) -> str:
    """All hyperparameters of a rule as JSON, sorted, without the checkpoint."""
    values = {name: getattr(rule, name) for name in type(rule).model_fields if name != "checkpoint"}
    return json.dumps(values, sort_keys=True, default=str)


def _assignment(cell: Cell, job: jobs.Job, **arguments: Any) -> Assignment:
    return Assignment(job, cell.task, [cell.optimizer], arguments, cell.resources)
