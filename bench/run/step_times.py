"""The timing pass of a run: every task's optimizers are timed together, serially, and kept in the folder.

Times that were taken under load are kept with that mark. The next start of the run takes them again.
"""

import json
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
        options: `device`, `fused`, `timeout` and `force` are used.
        report: called with a line for each task that is timed.
    """

    def __init__(self, folder: RunFolder, cells: list[Cell], options: RunOptions, report: Callable[[str], Any]) -> None:
        self.folder = folder
        self.cells = cells
        self.options = options
        self.report = report

    def find_untimed(self) -> list[str]:
        """The tasks whose step times are missing, or were taken under load, or by another protocol."""
        tasks = {cell.key[0]: cell.task for cell in self.cells}
        return [name for name, task in tasks.items() if self.options.force or not self._is_measured(task)]

    def measure(self, untimed: list[str]) -> dict[str, StepTimes]:
        """Measure step times. Nothing else should run meanwhile.

        Args:
            untimed: the identities of the tasks to time.

        Returns:
            For each task of the run its rows, by optimizer, also where they were measured before.
        """
        tasks = {cell.key[0]: cell.task for cell in self.cells}
        with Work(self.options.timeout) as work:
            for name in untimed:
                self._measure_task(work, tasks[name])
        return {name: self._read(name) for name in tasks}

    def _measure_task(self, work: Work, task: Task) -> None:
        identity, members = identify(task), self._members(task)
        self.report(f"{identity}: timing {len(members)} optimizers, one replica, serially")
        rows = self._time(work, task, members)
        self.folder.write("timing", cell_name(identity), self._describe(task), rows)
        if notes := {row["replicas"] for row in rows if row.get("replicas")}:
            self.report(f"{identity}: replicas run one after another: {notes.pop()}")
        if any(row.get("under_load") for row in rows):
            self.report(f"{identity}: its step times were taken under load and will not be quoted")

    def _members(self, task: Task) -> dict[str, Optimizer]:
        identity = identify(task)
        return {identify(c.optimizer): c.optimizer for c in self.cells if identify(c.task) == identity}

    def _describe(self, task: Task) -> dict[str, Any]:
        members = self._members(task)
        return {
            "format": FORMAT,
            "task": identify(task),
            "optimizers": sorted(members),
            "protocol": timing.PROTOCOL,
            **describe_sources(task, list(members.values())),
            **({"fused": True} if self.options.uses_fused_steps else {}),
        }

    def _read(self, identity: str) -> StepTimes:
        frame = self.folder.read_one("timing", cell_name(identity)).astype(object)
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

    def _is_measured(self, task: Task) -> bool:
        """A timing that lacks an optimizer is no conflict: all are then timed again, together."""
        name, wanted = cell_name(identify(task)), self._describe(task)
        try:
            found = self.folder.describe_one("timing", name)
            if found is None or not _covers(found, wanted):
                return False
            return not self.folder.read_one("timing", name)["under_load"].eq(True).any()
        except StoreError:
            return False


def _covers(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a timing is what is wanted, perhaps of more optimizers: a part of a run is not timed by itself."""
    named = set(wanted["optimizers"])
    sources = {name: code for name, code in found.get("optimizer_sources", {}).items() if name in named}
    same = {key: value for key, value in found.items() if key not in ("optimizers", "optimizer_sources")}
    same |= {"optimizers": wanted["optimizers"], **({"optimizer_sources": sources} if sources else {})}
    # Through JSON, as the one in the file went: tuples are lists there.
    return named <= set(found["optimizers"]) and same == json.loads(json.dumps(wanted))
