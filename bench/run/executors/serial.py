"""The executor in this process: one assignment after the other."""

from collections.abc import Callable, Mapping
from typing import Any

from l2obench.bench.run.executors.base import Executor
from l2obench.bench.run.work import Answer, Assignment, Work, announce


class SerialExecutor(Executor):
    """Runs an assignment when its answer is asked for; plugins run in a separate process.

    Args:
        timeout: seconds that a step may take; none: plugins have the default, ours as long as they need.
        report: called with a line for each part of a job that begins.
    """

    def __init__(self, timeout: float | None = None, report: Callable[[str], Any] = lambda _: None) -> None:
        super().__init__(report)
        self._work = Work(timeout)
        self._submitted: list[Assignment] = []

    def submit(self, assignment: Assignment) -> None:
        self._submitted.append(assignment)

    def finished(self) -> Answer:
        assignment = self._submitted.pop(0)
        return self._work.answer(assignment, announce(assignment, self.report))

    def room(self, needed: Mapping[str, float]) -> int:
        return 1

    def close(self) -> None:
        self._work.close()
