"""The timing pass of a run: every task's optimizers are timed together, serially, and kept in the folder."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from l2obench.bench.config.registry import identify
from l2obench.bench.config.run_options import RunOptions
from l2obench.bench.config.suite import Cell
from l2obench.bench.failures import Failure
from l2obench.bench.measure import timing
from l2obench.bench.run import jobs
from l2obench.bench.run.cell import describe_sources
from l2obench.bench.run.jobs import is_foreign
from l2obench.bench.run.work import Assignment, Work
from l2obench.bench.store.results_file import StoreError, cell_name
from l2obench.bench.store.run_folder import RunFolder
from l2obench.bench.store.schemas import FORMAT
from l2obench.optimizers.base import Optimizer
from l2obench.tasks.base import Task

StepTimes = dict[str, dict[str, Any]]
"""A task's rows of the timing pass, by the identity of the optimizer."""


class TimingPass:
    """Times the optimizers of a run on each of its tasks, or reads what an earlier start measured.

    Args:
        folder: where timings are kept.
        cells: all cells of the run: a task's optimizers are timed together, in turns, finished or not.
        options: `device`, `timeout` and `force` are used.
        report: called with a line for each task that is timed.
    """

    def __init__(self, folder: RunFolder, cells: list[Cell], options: RunOptions, report: Callable[[str], Any]) -> None:
        self.folder = folder
        self.cells = cells
        self.options = options
        self.report = report

    def measure(self, todo: list[Cell]) -> dict[str, StepTimes]:
        """Measure step times on the tasks of the cells that are to be computed. Nothing else should run meanwhile.

        Args:
            todo: cells that are to be computed.

        Returns:
            For each task its rows, by optimizer.
        """
        tasks = {cell.key[0]: cell.task for cell in todo}
        with Work(self.options.timeout) as work:
            return {name: self._measure_task(work, task) for name, task in tasks.items()}

    def _measure_task(self, work: Work, task: Task) -> StepTimes:
        identity = identify(task)
        members = {identify(c.optimizer): c.optimizer for c in self.cells if identify(c.task) == identity}
        name = cell_name(identity)
        description = {
            "format": FORMAT,
            "task": identity,
            "optimizers": sorted(members),
            "protocol": timing.PROTOCOL,
            **describe_sources(task, list(members.values())),
        }
        if self.options.force or not self._is_measured(name, description):
            self.report(f"{identity}: timing {len(members)} optimizers, one replica, serially")
            rows = self._time(work, task, members)
            self.folder.write("timing", name, description, rows)
            if notes := {row["replicas"] for row in rows if row.get("replicas")}:
                self.report(f"{identity}: replicas run one after another: {notes.pop()}")
        else:
            frame = self.folder.read_one("timing", name).astype(object)
            rows = [
                {str(key): value for key, value in row.items()}
                for row in frame.where(frame.notna(), None).to_dict("records")
            ]
        return {row["optimizer"]: row for row in rows}

    def _time(self, work: Work, task: Task, members: dict[str, Optimizer]) -> list[dict[str, Any]]:
        """Rows of a timing. An optimizer in whose turn the process was lost is left out of the next attempt."""
        left = dict(members)
        rows: list[dict[str, Any]] = []
        while left:
            try:
                assignment = Assignment(jobs.time, task, list(left.values()), {"options": asdict(self.options)})
                return rows + list(work.do(assignment))
            except Failure as failure:
                # A task of a plugin is under suspicion itself: no optimizer is then blamed for it alone.
                alone = failure.at in left and not is_foreign(task)
                for name in [failure.at or ""] if alone else list(left):
                    rows.append({"task": identify(task), "optimizer": name, "reason": failure.reason})
                    del left[name]
        return rows

    def _is_measured(self, name: str, description: dict[str, Any]) -> bool:
        """A timing of other optimizers is no conflict: all of them are then timed again, together."""
        try:
            return self.folder.is_finished("timing", name, description)
        except StoreError:
            return False
