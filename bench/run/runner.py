"""The runner: turns a suite into results on disk, cell by cell, and goes on where an earlier start ended.

It asks for what is needed, times every task alone, has the cells computed by an executor, and writes all files.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from l2obench.bench.config.registry import identity_of
from l2obench.bench.config.suite import Cell
from l2obench.bench.failures import Failure, as_failure
from l2obench.bench.measure import pictures, timing
from l2obench.bench.rollout.memory import default_budget
from l2obench.bench.run import jobs
from l2obench.bench.run.cell import Chain, chain, describe
from l2obench.bench.run.executors.base import Executor, run_chains
from l2obench.bench.run.executors.serial import SerialExecutor
from l2obench.bench.run.manifest import manifest
from l2obench.bench.run.work import Assignment, Work, is_foreign
from l2obench.bench.store.run_folder import FORMAT, UNEXPECTED, RunFolder, StoreError, cell_name
from l2obench.optimizers.base import Optimizer
from l2obench.tasks.base import Task

Clocks = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What a run did: cells computed and cells found finished, and the rows that failed unexpectedly."""

    computed: int
    found: int
    errors: list[str]
    clocks_seconds: float = field(default=0.0, compare=False)
    """Of the serial pass, which is over before the first cell begins."""
    cells_seconds: float = field(default=0.0, compare=False)
    """Of everything else: tuning, evaluation and the files."""


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
        executor: where cells are computed; none: in this process, one after the other.
        memory: bytes that replicas may take; those that do not fit run later. None: half of what is free.
        compile: run whole steps of our own tasks and optimizers as one program; clocks are of plain steps all the same.
        report: called with a line for each thing done.
        progress: called with the number of cells computed and to compute.
    """

    def __init__(
        self,
        run: RunFolder,
        cells: list[Cell],
        *,
        device: str = "cpu",
        force: bool = False,
        seeds_at_once: int | None = None,
        timeout: float | None = None,
        executor: Executor | None = None,
        memory: float | None = None,
        compile: bool = False,
        report: Callable[[str], Any] = lambda _: None,
        progress: Callable[[int, int], Any] = lambda done, planned: None,
    ) -> None:
        self.run = run
        self.cells = cells
        self.device = device
        self.force = force
        self.seeds_at_once = seeds_at_once
        self.timeout = timeout
        self.executor = executor or SerialExecutor(timeout, report)
        self.memory = _share(memory, self.executor.processes_here(), device)
        self.compile = compile
        self.sources: dict[str, dict[str, Any]] = {}
        self.unusable: dict[tuple[str, str, str], Failure] = {}
        self.report = report
        self.progress = progress

    def execute(self, about: dict[str, Any]) -> Outcome:
        """Run every cell that is not finished. `about` goes into the manifest: the suite and the command.

        Raises:
            StoreError: the folder holds something else, or cannot be written. Nothing has been run then.
            ExecutorError: the executor cannot be reached, or is lost; what it did until then is kept.
            FileNotFoundError: a task's data are not on this machine.
        """
        self.run.check()
        for cell in self.cells:
            self._require(cell)
        todo = [cell for cell in self.cells if self.force or not self._finished(cell)]
        if not todo:
            return Outcome(0, len(self.cells), [])
        with self.executor:
            self.run.begin(lambda: manifest(self.run, about, self.cells, self.sources, self.device))
            began = time.perf_counter()
            clocks = self._clocks(todo)  # all of them before anything runs in parallel
            timed = time.perf_counter()
            errors = self._compute(todo, clocks)
            ended = time.perf_counter()
        return Outcome(len(todo), len(self.cells) - len(todo), errors, timed - began, ended - timed)

    def _compute(self, todo: list[Cell], clocks: dict[str, Clocks]) -> list[str]:
        errors: list[str] = []
        self.progress(0, len(todo))
        for done, (cell, rows) in enumerate(run_chains(self.executor, self._chains(todo, clocks)), start=1):
            if drawn := pictures.taken_from(rows):
                self.run.write("pictures", cell_name(*cell.key), describe(cell, self.device, self.compile), drawn)
            self.run.write("cells", cell_name(*cell.key), describe(cell, self.device, self.compile), rows)
            failed = [row["reason"] for row in rows if row["status"] in UNEXPECTED]
            errors += [f"{' '.join(cell.key)}: {reason}" for reason in dict.fromkeys(failed)]
            self.report(_line(cell, rows))
            self.progress(done, len(todo))
        return errors

    def _chains(self, todo: list[Cell], clocks: dict[str, Clocks]) -> Iterator[tuple[Cell, Chain]]:
        for cell in todo:
            task, optimizer, _ = cell.key
            yield (
                cell,
                chain(
                    cell,
                    self.run,
                    clocks[task].get(optimizer, {}),
                    device=self.device,
                    force=self.force,
                    seeds_at_once=self.seeds_at_once,
                    memory=self.memory,
                    compile=self.compile,
                    unusable=self.unusable.get(cell.key),
                ),
            )

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

    def _finished(self, cell: Cell) -> bool:
        return self.run.finished("cells", cell_name(*cell.key), describe(cell, self.device, self.compile))

    def _clocks(self, todo: list[Cell]) -> dict[str, Clocks]:
        """For each task, what the serial pass says of each optimizer. Nothing else runs meanwhile."""
        with Work(self.timeout) as work:
            return {name: self._time(work, task) for name, task in {cell.key[0]: cell.task for cell in todo}.items()}

    def _time(self, work: Work, task: Task) -> Clocks:
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
            rows = self._timed(work, task, members)
            self.run.write("timing", name, description, rows)
        else:
            frame = self.run.read_one("timing", name).astype(object)
            rows = [
                {str(key): value for key, value in row.items()}
                for row in frame.where(frame.notna(), None).to_dict("records")
            ]
        return {row["optimizer"]: row for row in rows}

    def _timed(self, work: Work, task: Task, members: dict[str, Optimizer]) -> list[dict[str, Any]]:
        """The rows of a timing. An optimizer in whose turn the process was lost is left out of the next attempt."""
        left = dict(members)
        rows: list[dict[str, Any]] = []
        while left:
            try:
                assignment = Assignment(jobs.time, task, list(left.values()), {"device": self.device})
                return rows + list(work.do(assignment))
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


def _share(memory: float | None, processes: int, device: str) -> float | None:
    """What each of the processes on this machine may take of `memory`; one alone sees for itself what is free."""
    if processes == 1:
        return memory
    return (default_budget(device) if memory is None else memory) / processes


def _line(cell: Cell, rows: list[dict[str, Any]]) -> str:
    ok = sum(row["status"] == "ok" for row in rows)
    mean = sum(row.get("final_loss") or 0.0 for row in rows) / len(rows)
    task, optimizer, track = cell.key
    result = f"mean final loss {mean:.4g}" if ok == len(rows) else f"{len(rows) - ok} of {len(rows)} seeds failed"
    return f"{task} {optimizer} {track}: {result}"
