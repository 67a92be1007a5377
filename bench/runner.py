"""The runner: turns a suite into results on disk, cell by cell, and goes on where an earlier start ended."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench import timing, tuning
from bench.costs import optimizer_costs, task_costs
from bench.environment import environment
from bench.registry import function_family, identity_of
from bench.rollout import Trajectories, rollout
from bench.seeds import derive_seed
from bench.store import FORMAT, Run, StoreError, cell_name
from bench.suite import Cell
from optimizers.base import Optimizer
from optimizers.checkpoint import CheckpointError, read_checkpoint
from tasks.base import Task


@dataclass(frozen=True)
class Outcome:
    """What a run did: cells computed and cells found finished, and the rows that failed unexpectedly."""

    computed: int
    found: int
    errors: list[str]


class Runner:
    """Runs cells into a results folder.

    Args:
        run: where results go.
        cells: what to run.
        device: the torch device.
        force: compute again what is finished.
        seeds_at_once: replicas in one rollout; none: all seeds of a cell together. Numbers do not depend on it.
        report: called with a line for each thing done.
    """

    def __init__(
        self,
        run: Run,
        cells: list[Cell],
        *,
        device: str = "cpu",
        force: bool = False,
        seeds_at_once: int | None = None,
        report: Callable[[str], Any] = lambda _: None,
    ) -> None:
        self.run = run
        self.cells = cells
        self.device = device
        self.force = force
        self.seeds_at_once = seeds_at_once
        self.report = report

    def execute(self, about: dict[str, Any]) -> Outcome:
        """Run every cell that is not finished. `about` goes into the manifest: the suite and the command.

        Raises:
            StoreError: the folder holds something else, or cannot be written. Nothing has been run then.
            FileNotFoundError: a task's data are not on this machine.
        """
        self.run.check()
        for cell in self.cells:
            cell.task.require_data()
        todo = [cell for cell in self.cells if self.force or not self._finished(cell)]
        if todo:
            self.run.begin(self._manifest(about))
        errors: list[str] = []
        clocks: dict[str, dict[str, Any]] = {}
        for cell in todo:
            name = identity_of(cell.task)
            if name not in clocks:
                clocks[name] = self._time(cell.task)
            rows = self._rows(cell, clocks[name].get(identity_of(cell.optimizer), {}))
            self.run.write("cells", cell_name(*cell.key), self._description(cell), rows)
            failed = [row["reason"] for row in rows if row["status"] == "error"]
            errors += [f"{' '.join(cell.key)}: {reason}" for reason in dict.fromkeys(failed)]
            self.report(_line(cell, rows))
        return Outcome(len(todo), len(self.cells) - len(todo), errors)

    def _finished(self, cell: Cell) -> bool:
        return self.run.finished("cells", cell_name(*cell.key), self._description(cell))

    def _manifest(self, about: dict[str, Any]) -> dict[str, Any]:
        """What this start is, and what earlier ones in the folder were: their cells and sources stay in it."""
        earlier = self.run.manifest if self.run.exists() else {}
        sources, tasks = dict(earlier.get("sources", {})), dict(earlier.get("tasks", {}))
        recipes = dict(earlier.get("recipes", {}))
        plan = {(item["task"], item["optimizer"], item["track"]): item for item in earlier.get("cells", [])}
        costs = {kind: dict(earlier.get("costs", {}).get(kind, {})) for kind in ("tasks", "optimizers")}
        for cell in self.cells:
            sources |= cell.task.sources()
            task, optimizer, track = cell.key
            tasks[task] = {"parameters": cell.task.model_dump(mode="json"), "sources": sorted(cell.task.sources())}
            recipes |= _recipe(cell.optimizer)
            plan[cell.key] = {"task": task, "optimizer": optimizer, "track": track, "seeds": cell.seeds}
            if task not in costs["tasks"]:
                costs["tasks"][task] = task_costs(cell.task)
            costs["optimizers"][optimizer] = optimizer_costs(cell.optimizer)
        start = {**about, "environment": environment(self.device)}
        return {
            **start,
            "sources": sources,
            "tasks": tasks,
            "recipes": recipes,
            "cells": list(plan.values()),
            "costs": costs,
            "starts": [*earlier.get("starts", []), start],
        }

    def _description(self, cell: Cell) -> dict[str, Any]:
        """All that decides a cell's numbers, clocks excepted."""
        task, optimizer, track = cell.key
        description = {
            "format": FORMAT,
            "task": task,
            "task_version": cell.task.version,
            "optimizer": optimizer,
            "optimizer_version": cell.optimizer.version,
            "checkpoint_sha256": _checkpoint(cell.optimizer),
            "track": track,
            "seeds": cell.seeds,
            "device": self.device,
        }
        if track == "tuned":
            description |= {"tuning": tuning.PROTOCOL, "tuning_seeds": cell.tuning_seeds}
        return description

    def _time(self, task: Task) -> dict[str, dict[str, Any]]:
        """The serial pass of all the suite's optimizers on a task, done once."""
        members = {
            identity_of(c.optimizer): c.optimizer for c in self.cells if identity_of(c.task) == identity_of(task)
        }
        name = cell_name(identity_of(task))
        description = {
            "format": FORMAT,
            "task": identity_of(task),
            "optimizers": sorted(members),
            "protocol": timing.PROTOCOL,
        }
        if self.force or not self._same_timing(name, description):
            self.report(f"{identity_of(task)}: timing {len(members)} optimizers, one replica, serially")
            rows = timing.time_steps(task, list(members.values()), self.device)
            self.run.write("timing", name, description, rows)
        frame = self.run.read_one("timing", name).astype(object)
        frame = frame.where(frame.notna(), None)
        return {
            str(row["optimizer"]): {str(key): value for key, value in row.items()} for row in frame.to_dict("records")
        }

    def _same_timing(self, name: str, description: dict[str, Any]) -> bool:
        """A timing of other optimizers is no conflict: clocks are measured again, for all of them together."""
        try:
            return self.run.finished("timing", name, description)
        except StoreError:
            return False

    def _rows(self, cell: Cell, clock: dict[str, Any]) -> list[dict[str, Any]]:
        """The rows of a cell, one a seed; if its code raises, rows that say so."""
        task, optimizer, track = cell.key
        common = {
            "task": task,
            "task_version": cell.task.version,
            "optimizer": optimizer,
            "optimizer_version": cell.optimizer.version,
            "checkpoint_sha256": _checkpoint(cell.optimizer),
            "learned": bool(cell.optimizer.meta_parameters),
            "track": track,
            "steps": cell.task.horizon,
            "final_window": cell.task.final_window,
            "grad_seconds": clock.get("grad_seconds"),
            "update_seconds": clock.get("update_seconds"),
        }
        rule = cell.optimizer
        rows: list[dict[str, Any]] = []
        common |= {"hyperparameters": hyperparameters(rule), "tuning_passes": 0}
        try:
            if track == "tuned":
                chosen = self._tuned(cell)
                rule = rule.model_copy(update={"lr": chosen.lr})
                common |= {"hyperparameters": hyperparameters(rule), "tuning_passes": chosen.passes}
            seeds = [derive_seed("evaluation", function_family(cell.task), index) for index in range(cell.seeds)]
            batch = self.seeds_at_once or len(seeds)
            for first in range(0, len(seeds), batch):
                result = rollout(cell.task, rule, seeds[first : first + batch], device=self.device)
                outcomes = [_outcome(cell.task, result, k) for k in range(len(result.losses))]
                rows += [common | {"seed": first + k} | outcome for k, outcome in enumerate(outcomes)]
        except StoreError:
            raise  # the folder's trouble, not the cell's: no row may claim that the cell was run
        except Exception as error:  # a stranger's task or optimizer may raise anything; its rows say what
            failure = {"status": "error", "reason": f"{type(error).__name__}: {error}"}
            rows += [common | failure | {"seed": index} for index in range(len(rows), cell.seeds)]
        return rows

    def _tuned(self, cell: Cell) -> tuning.Tuning:
        """The tuning of a cell, from its file if it is finished."""
        name = cell_name(*cell.key)
        description = self._description(cell)
        del description["seeds"]
        if self.force or not self.run.finished("tuning", name, description):
            line = f"{identity_of(cell.task)} {identity_of(cell.optimizer)}: tuning over "
            result = tuning.tune(
                cell.task,
                cell.optimizer,
                cell.tuning_seeds,
                device=self.device,
                on_rollout=lambda what: self.report(f"{line}{what} × {cell.tuning_seeds} seeds"),
            )
            self.run.write("tuning", name, description, result.rows)
            return result
        frame = self.run.read_one("tuning", name)
        chosen = frame[frame["chosen"]].iloc[0]
        return tuning.Tuning([], float(chosen["lr"]), bool(chosen["at_edge"]), int(frame["steps"].sum()))


def hyperparameters(rule: Optimizer) -> str:
    """All hyperparameters of a rule as JSON, sorted, without the checkpoint."""
    values = {name: getattr(rule, name) for name in type(rule).model_fields if name != "checkpoint"}
    return json.dumps(values, sort_keys=True, default=str)


def _checkpoint(optimizer: Optimizer) -> str | None:
    return getattr(optimizer, "checkpoint_sha256", None)


def _recipe(optimizer: Optimizer) -> dict[str, Any]:
    """How its meta-parameters were trained, under the SHA-256 of their file; nothing where no file of ours says it."""
    digest, name = _checkpoint(optimizer), getattr(optimizer, "checkpoint", None)
    try:
        return {digest: dict(read_checkpoint(name).recipe)} if digest and name else {}
    except CheckpointError:
        return {}


def _outcome(task: Task, result: Trajectories, k: int) -> dict[str, Any]:
    """What one seed's trajectory adds to its row. Every step costs one forward and one backward pass."""
    diverged = int(result.diverged_at[k, 0])
    losses = result.losses[k, 0]
    heldout = {name: float(value[k, 0]) for name, value in result.heldout.items()}
    return {
        "status": "ok" if diverged < 0 else "diverged",
        "reason": None if diverged < 0 else "the loss was not finite, or beyond 10⁶ times its start",
        "failed_step": None if diverged < 0 else diverged,
        "loss": losses.tolist(),
        "final_loss": float(task.final_loss(losses.double())),
        "heldout_loss": heldout.get("loss"),
        "heldout_accuracy": heldout.get("accuracy"),
        "forward_passes": task.horizon,
        "backward_passes": task.horizon,
        "state_bytes": result.state_bytes,
    }


def _line(cell: Cell, rows: list[dict[str, Any]]) -> str:
    ok = sum(row["status"] == "ok" for row in rows)
    mean = sum(row.get("final_loss") or 0.0 for row in rows) / len(rows)
    task, optimizer, track = cell.key
    result = f"mean final loss {mean:.4g}" if ok == len(rows) else f"{len(rows) - ok} of {len(rows)} seeds failed"
    return f"{task} {optimizer} {track}: {result}"
