"""The runner: turns a suite into results on disk, cell by cell, and goes on where an earlier start ended."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench import jobs, pictures, timing, tuning
from bench.failures import Failure, as_failure
from bench.manifest import manifest
from bench.registry import identity_of
from bench.store import FORMAT, UNEXPECTED, Run, StoreError, cell_name
from bench.suite import Cell
from bench.work import Work, is_foreign
from optimizers.base import Optimizer
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
        timeout: seconds that a step may take, all replicas together, before its cell is given up; none: plugins have
            the default, ours as long as they need.
        memory: bytes that replicas may take; those that do not fit run later. None: half of what is free.
        compile: run whole steps of our own tasks and optimizers as one program; clocks are of plain steps all the same.
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
        timeout: float | None = None,
        memory: float | None = None,
        compile: bool = False,
        report: Callable[[str], Any] = lambda _: None,
    ) -> None:
        self.run = run
        self.cells = cells
        self.device = device
        self.force = force
        self.seeds_at_once = seeds_at_once
        self.memory = memory
        self.compile = compile
        self.work = Work(timeout)
        self.sources: dict[str, dict[str, Any]] = {}
        self.unusable: dict[tuple[str, str, str], Failure] = {}
        self.report = report

    def execute(self, about: dict[str, Any]) -> Outcome:
        """Run every cell that is not finished. `about` goes into the manifest: the suite and the command.

        Raises:
            StoreError: the folder holds something else, or cannot be written. Nothing has been run then.
            FileNotFoundError: a task's data are not on this machine.
        """
        self.run.check()
        for cell in self.cells:
            self._require(cell)
        todo = [cell for cell in self.cells if self.force or not self._finished(cell)]
        if todo:
            self.run.begin(manifest(self.run, about, self.cells, self.sources, self.device))
        with self.work:
            errors = self._compute(todo)
        return Outcome(len(todo), len(self.cells) - len(todo), errors)

    def _compute(self, todo: list[Cell]) -> list[str]:
        errors: list[str] = []
        clocks: dict[str, dict[str, Any]] = {}
        for cell in todo:
            name = identity_of(cell.task)
            if name not in clocks:
                clocks[name] = self._time(cell.task)
            rows = self._rows(cell, clocks[name].get(identity_of(cell.optimizer), {}))
            if drawn := pictures.taken_from(rows):
                self.run.write("pictures", cell_name(*cell.key), self._description(cell), drawn)
            self.run.write("cells", cell_name(*cell.key), self._description(cell), rows)
            failed = [row["reason"] for row in rows if row["status"] in UNEXPECTED]
            errors += [f"{' '.join(cell.key)}: {reason}" for reason in dict.fromkeys(failed)]
            self.report(_line(cell, rows))
        return errors

    def _require(self, cell: Cell) -> None:
        """Ask for what is needed before anything runs. What a plugin raises here goes into its rows, later.

        Raises:
            FileNotFoundError: the task's data are not on this machine.
        """
        try:
            if cell.key[0] not in self.sources:  # once a task: data may be large, and are hashed
                cell.task.require_data()
                self.sources[cell.key[0]] = json.loads(json.dumps(cell.task.sources()))
            _ = cell.optimizer.meta_parameters
        except FileNotFoundError:
            raise
        except Exception as error:
            if not (is_foreign(cell.task) or is_foreign(cell.optimizer)):
                raise
            self.unusable[cell.key] = as_failure(error)

    def _compiled(self, cell: Cell) -> bool:
        """Strangers' code runs as it stands."""
        return self.compile and not (is_foreign(cell.task) or is_foreign(cell.optimizer))

    def _finished(self, cell: Cell) -> bool:
        return self.run.finished("cells", cell_name(*cell.key), self._description(cell))

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
        if self._compiled(cell):
            description |= {"compiled": True}
        if track == "tuned":
            protocol = tuning.HALVING_PROTOCOL if cell.halving else tuning.PROTOCOL
            description |= {"tuning": protocol, "tuning_seeds": cell.tuning_seeds}
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
            self.run.write("timing", name, description, self._timed(task, members))
        frame = self.run.read_one("timing", name).astype(object)
        frame = frame.where(frame.notna(), None)
        return {
            str(row["optimizer"]): {str(key): value for key, value in row.items()} for row in frame.to_dict("records")
        }

    def _timed(self, task: Task, members: dict[str, Optimizer]) -> list[dict[str, Any]]:
        """The rows of a timing. An optimizer in whose turn the process was lost is left out of the next attempt."""
        left = dict(members)
        rows: list[dict[str, Any]] = []
        while left:
            try:
                return rows + list(self.work.do(jobs.time, task, list(left.values()), device=self.device))
            except Failure as failure:
                alone = failure.at in left and not is_foreign(task)
                for name in [failure.at or ""] if alone else list(left):
                    rows.append({"task": identity_of(task), "optimizer": name, "reason": failure.reason})
                    del left[name]
        return rows

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
            "learned": cell.key not in self.unusable and bool(cell.optimizer.meta_parameters),
            "track": track,
            "steps": cell.task.horizon,
            "final_window": cell.task.final_window,
            "grad_seconds": clock.get("grad_seconds"),
            "update_seconds": clock.get("update_seconds"),
        }
        rows: list[dict[str, Any]] = []
        common |= {"hyperparameters": hyperparameters(cell.optimizer), "tuning_passes": 0}
        lr = None
        try:
            if cell.key in self.unusable:
                raise self.unusable[cell.key]
            if track == "tuned":
                chosen = self._tuned(cell)
                lr = chosen.lr
                rule = cell.optimizer.model_copy(update={"lr": lr})
                common |= {"hyperparameters": hyperparameters(rule), "tuning_passes": chosen.passes}
            batch = self.seeds_at_once or cell.seeds
            for first in range(0, cell.seeds, batch):
                seeds = list(range(first, min(first + batch, cell.seeds)))
                outcomes = self.work.do(
                    jobs.evaluate,
                    cell.task,
                    [cell.optimizer],
                    seeds=seeds,
                    lr=lr,
                    device=self.device,
                    compile=self._compiled(cell),
                    memory=self.memory,
                )
                rows += [common | {"seed": seed} | outcome for seed, outcome in zip(seeds, outcomes, strict=True)]
        except StoreError:
            raise  # the folder's trouble, not the cell's: no row may claim that the cell was run
        except Exception as error:  # a stranger's task or optimizer may raise anything; its rows say what
            failure = as_failure(error)
            failed = {"status": failure.status, "reason": failure.reason}
            rows += [common | failed | {"seed": index} for index in range(len(rows), cell.seeds)]
        return rows

    def _tuned(self, cell: Cell) -> tuning.Tuning:
        """The tuning of a cell, from its file if it is finished."""
        name = cell_name(*cell.key)
        description = self._description(cell)
        del description["seeds"]
        if self.force or not self.run.finished("tuning", name, description):
            line = f"{identity_of(cell.task)} {identity_of(cell.optimizer)}: tuning over "
            found = self.work.do(
                jobs.tune,
                cell.task,
                [cell.optimizer],
                lambda what: self.report(f"{line}{what} × {cell.tuning_seeds} seeds"),
                count=cell.tuning_seeds,
                halving=cell.halving,
                device=self.device,
                compile=self._compiled(cell),
                memory=self.memory,
            )
            result = tuning.Tuning(**found)
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


def _line(cell: Cell, rows: list[dict[str, Any]]) -> str:
    ok = sum(row["status"] == "ok" for row in rows)
    mean = sum(row.get("final_loss") or 0.0 for row in rows) / len(rows)
    task, optimizer, track = cell.key
    result = f"mean final loss {mean:.4g}" if ok == len(rows) else f"{len(rows) - ok} of {len(rows)} seeds failed"
    return f"{task} {optimizer} {track}: {result}"
