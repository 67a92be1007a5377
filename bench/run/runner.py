"""The runner: turns a suite into results on disk, cell by cell, and continues where an earlier start ended.

It asks for what the cells need, times every task while nothing else runs, has an executor compute the cells, and
writes all files.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Cell
from l2obench.bench.failures import Failure, RunStopped
from l2obench.bench.measure import heldout, pictures
from l2obench.bench.rollout.memory import default_budget
from l2obench.bench.run.cell import Chain, Rows, describe, make_chain
from l2obench.bench.run.executors.base import Executor, run_chains
from l2obench.bench.run.executors.serial import SerialExecutor
from l2obench.bench.run.jobs import is_foreign
from l2obench.bench.run.manifest import make_manifest, with_loads
from l2obench.bench.run.pairing import Pairing
from l2obench.bench.run.step_times import StepTimes, TimingPass
from l2obench.bench.store.results_file import cell_name
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.store.schemas import UNEXPECTED
from l2obench.foundation.errors import describe_error
from l2obench.foundation.global_settings import settings_kept


@dataclass(frozen=True)
class Outcome:
    """What a start of a run did."""

    computed: int
    """Cells computed by this start."""
    already_computed: int
    """Cells that were in the folder, and match."""
    errors: list[str]
    """A line for each cell and reason with rows of status `error` or `timeout`."""
    timing_seconds: float = field(default=0.0, compare=False)
    """Seconds of the timing pass, which ends before the first cell begins."""
    cells_seconds: float = field(default=0.0, compare=False)
    """Seconds of everything else: tuning, evaluation and the files."""
    tasks_timed: int = field(default=0, compare=False)
    """Tasks whose step times this start measured."""


class Runner:
    """Runs cells into a results folder.

    Args:
        folder: where results go.
        cells: what to run.
        options: how to run it.
        executor: where cells are computed; None: in this process, one after the other.
        report: called with a line for each thing done.
        progress: called with the number of cells computed and to compute.
        on_cell: called with each cell that was computed and written, its rows, and the seconds since it was begun.
        on_begin: called once it is known that there is something to do and that the folder can be written.
    """

    def __init__(
        self,
        folder: RunFolder,
        cells: list[Cell],
        options: RunOptions = RunOptions(),  # noqa: B008 - frozen
        *,
        executor: Executor | None = None,
        report: Callable[[str], Any] = lambda _: None,
        progress: Callable[[int, int], Any] = lambda done, planned: None,
        on_cell: Callable[[Cell, Rows, float], Any] = lambda cell, rows, seconds: None,
        on_begin: Callable[[], Any] = lambda: None,
    ) -> None:
        self.folder = folder
        self.cells = cells
        self.executor = executor or SerialExecutor(options.timeout, report)
        self.options = replace(options, memory=_share_memory(options, self.executor.processes_here()))
        self.sources: dict[str, dict[str, Any]] = {}
        self.unusable: dict[tuple[str, str, str], Failure] = {}
        self.report = report
        self.progress = progress
        self.on_cell = on_cell
        self.on_begin = on_begin
        self._begun: dict[tuple[str, str, str], float] = {}

    def execute(self, about: dict[str, Any]) -> Outcome:
        """Run every cell that is not finished, and measure the step times that are missing or were taken under load.

        Args:
            about: what the manifest says of this start: the suite and the command.

        Raises:
            StoreError: the folder holds something else, or cannot be written. Nothing has been run then.
            ExecutorError: the executor cannot be reached, or is lost; what it did until then is kept.
            FileNotFoundError: a task's data are not on this machine.
        """
        self.folder.require_run_or_empty()
        for cell in self.cells:
            self._require_inputs(cell)
        todo = [cell for cell in self.cells if self.options.force or not self._is_finished(cell)]
        timing_pass = TimingPass(self.folder, self.cells, self.options, self.report)
        untimed = timing_pass.find_untimed() if self.options.timing else []
        if not todo and not untimed:
            return Outcome(0, len(self.cells), [])
        with self.executor:
            self.folder.begin(lambda: make_manifest(self.folder, about, self.cells, self.sources, self.options.device))
            self.on_begin()
            began = time.perf_counter()
            # All of it before anything runs in parallel: a time taken beside other work is no time of a step.
            step_times = timing_pass.measure(untimed) if self.options.timing else {}
            if untimed:
                self.folder.begin(lambda: with_loads(self.folder.manifest, step_times, untimed, about))
            timed = time.perf_counter()
            errors = self._compute(todo, step_times)
            ended = time.perf_counter()
        finished = len(self.cells) - len(todo)
        return Outcome(len(todo), finished, errors, timed - began, ended - timed, len(untimed))

    def _compute(self, todo: list[Cell], step_times: dict[str, StepTimes]) -> list[str]:
        errors: list[str] = []
        pairing = Pairing()
        # Keys, not cells: two learned rules would be compared by their tensors, which have no single answer to ==.
        waiting = {cell.key for cell in todo}
        for cell in self.cells:
            if cell.key not in waiting:
                columns = ["task", "seed", "optimizer", "function_sha256", "loss"]
                found = self.folder.read_columns("cells", cell_name(*cell.key), columns).to_pandas()
                known = found[found["loss"].notna()].itertuples(index=False)
                pairing.find_difference([dict(zip(columns, row, strict=True)) for row in known])
        self.progress(0, len(todo))
        for done, (cell, rows) in enumerate(run_chains(self.executor, self._make_chains(todo, step_times)), start=1):
            name, description = cell_name(*cell.key), describe(cell, self.options)
            if (difference := pairing.find_difference(rows)) is not None:
                rows = self._refuse(cell, rows, difference)
            # Before the cell: a cell that is finished has its pictures and its held-out curves.
            if drawn := pictures.take_records(rows):
                self.folder.write("pictures", name, description, drawn)
            if curves := heldout.take_records(rows):
                self.folder.write("heldout", name, description, curves)
            self.folder.write("cells", name, description, rows)
            failed = [row["reason"] for row in rows if row["status"] in UNEXPECTED]
            errors += [f"{' '.join(cell.key)}: {reason}" for reason in dict.fromkeys(failed)]
            self.report(_summarize(cell, rows))
            self.on_cell(cell, rows, time.perf_counter() - self._begun.pop(cell.key))
            self.progress(done, len(todo))
        return errors

    def _refuse(self, cell: Cell, rows: Rows, difference: str) -> Rows:
        """Rows that say why a cell cannot be compared, where a plugin's task is the cause.

        Raises:
            RunStopped: a task of ours gave optimizers other functions, as on other machines or versions.
        """
        if not is_foreign(cell.task):
            raise RunStopped(f"{difference}. Its cell is not stored. Try: one kind of machine for all, or --force")
        kept = {"loss", "final_loss", "failed_step", "pictures"}
        kept |= {"heldout_loss", "heldout_accuracy", "heldout_metrics", "heldout_curves"}
        reason = f"ContractBroken: {difference}. Try: all random numbers of the task from the generator it is given"
        failed = {"status": "error", "reason": reason, "function_sha256": None}
        return [{key: value for key, value in row.items() if key not in kept} | failed for row in rows]

    def _make_chains(self, todo: list[Cell], step_times: dict[str, StepTimes]) -> Iterator[tuple[Cell, Chain]]:
        for cell in todo:
            task, optimizer, _ = cell.key
            self._begun[cell.key] = time.perf_counter()
            step_time = step_times.get(task, {}).get(optimizer, {})
            yield cell, make_chain(cell, self.folder, step_time, self.options, self.unusable.get(cell.key))

    def _require_inputs(self, cell: Cell) -> None:
        """Ask for data and checkpoints before anything runs. What a plugin raises here goes into its rows, later.

        Raises:
            FileNotFoundError: the task's data are not on this machine.
        """
        try:
            with settings_kept():
                # Once for each task: data may be large, and are hashed.
                if cell.key[0] not in self.sources:
                    cell.task.require_data()
                    self.sources[cell.key[0]] = json.loads(json.dumps(cell.task.sources()))
                _ = cell.optimizer.meta_parameters
        except FileNotFoundError:
            raise
        except Exception as error:
            if not (is_foreign(cell.task) or is_foreign(cell.optimizer)):
                raise
            self.unusable[cell.key] = Failure("error", describe_error(error))

    def _is_finished(self, cell: Cell) -> bool:
        name = cell_name(*cell.key)
        if not self.folder.is_finished("cells", name, describe(cell, self.options)):
            return False
        return is_foreign(cell.task) or is_foreign(cell.optimizer) or not self.folder.holds_reporting_errors(name)


def _share_memory(options: RunOptions, processes: int) -> float | None:
    """What each of the processes on this machine may take; a single one looks for itself what is free."""
    if processes == 1:
        return options.memory
    return (default_budget(options.device) if options.memory is None else options.memory) / processes


def _summarize(cell: Cell, rows: Rows) -> str:
    ok = sum(row["status"] == "ok" for row in rows)
    mean = sum(row.get("final_loss") or 0.0 for row in rows) / len(rows)
    task, optimizer, track = cell.key
    result = f"mean final loss {mean:.4g}" if ok == len(rows) else f"{len(rows) - ok} of {len(rows)} seeds failed"
    if any(row.get("repeats") is False for row in rows):
        result += "; a second run gives other numbers, since it draws without a seed"
    return f"{task} {optimizer} {track}: {result}"
