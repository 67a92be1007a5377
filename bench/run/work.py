"""Where a job is done: here, or in a process that can be killed, as code that is not ours always is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Self

from l2obench.bench.config.registry import identity_of, optimizer_registry, task_registry
from l2obench.bench.failures import Failure, ProcessLost, as_failure
from l2obench.bench.run.jobs import Job
from l2obench.bench.run.worker import Worker
from l2obench.optimizers.base import Optimizer
from l2obench.tasks.base import Task

PLUGIN_TIMEOUT = 300.0  # seconds; a slow step of a whole grid of learning rates is no hang
TRIES = 3  # for a job of ours whose process is ended from outside, as by the kernel where memory runs out


@dataclass(frozen=True, eq=False)
class Assignment:
    """A job of `l2obench.bench.run.jobs`, what it is done on, and its arguments."""

    job: Job
    task: Task
    optimizers: Sequence[Optimizer]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)
    """What a worker of a cluster must offer, by Dask's names."""

    @property
    def foreign(self) -> bool:
        """Whether code takes part that is not ours."""
        return is_foreign(self.task) or any(is_foreign(optimizer) for optimizer in self.optimizers)


def announce(assignment: Assignment, report: Callable[[str], Any]) -> Callable[[str], Any]:
    """Reports each part of a job, with whose it is."""
    names = " ".join([identity_of(assignment.task), *map(identity_of, assignment.optimizers)])
    return lambda part: report(f"{names}: {part}")


@dataclass(frozen=True)
class Answer:
    """What came of an assignment: its result, or why there is none."""

    assignment: Assignment
    result: Any = None
    failure: Failure | None = None


class Work:
    """Does jobs, those of plugins apart.

    Args:
        timeout: seconds that a step may take; given one, all jobs are done apart.
        apart: do all jobs apart all the same.
        stop: once its other end is closed, jobs done apart are given up.
    """

    def __init__(self, timeout: float | None, *, apart: bool = False, stop: Connection | None = None) -> None:
        self._apart = apart or timeout is not None
        self._ours = Worker(timeout, stop)
        self._strangers = Worker(PLUGIN_TIMEOUT if timeout is None else timeout, stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, if there are any."""
        self._ours.close()
        self._strangers.close()

    def do(self, assignment: Assignment, on_part: Callable[[str], Any] = lambda _: None) -> Any:
        """The result of a job; `on_part` is told what it begins.

        Raises:
            Failure: the job was done apart, and failed.
            Exception: what the job raised here.
        """
        if assignment.foreign:
            return _apart(self._strangers, assignment, on_part)
        if self._apart:
            return self._tried(assignment, on_part)
        here = assignment
        return here.job(here.task, here.optimizers, lambda part=None: part and on_part(part), **here.arguments)

    def answer(self, assignment: Assignment, on_part: Callable[[str], Any] = lambda _: None) -> Answer:
        """The same, with what was raised as a failure."""
        try:
            return Answer(assignment, result=self.do(assignment, on_part))
        except Exception as error:  # a stranger's task or optimizer may raise anything; its rows say what
            return Answer(assignment, failure=as_failure(error))

    def _tried(self, assignment: Assignment, on_part: Callable[[str], Any]) -> Any:
        for attempt in range(1, TRIES + 1):
            try:
                return _apart(self._ours, assignment, on_part)
            except ProcessLost as lost:
                if attempt == TRIES:
                    raise Failure("error", f"{lost.reason}, {TRIES} times", lost.at) from lost
        raise AssertionError("unreachable")


def is_foreign(model: Task | Optimizer) -> bool:
    """Whether a task or an optimizer is not ours."""
    registry = task_registry() if isinstance(model, Task) else optimizer_registry()
    return registry.foreign(model.name)


def _apart(worker: Worker, assignment: Assignment, on_part: Callable[[str], Any]) -> Any:
    names = [identity_of(optimizer) for optimizer in assignment.optimizers]
    job, task, arguments = assignment.job.__name__, identity_of(assignment.task), dict(assignment.arguments)
    return worker.run_job(job, task, names, arguments, on_part)
