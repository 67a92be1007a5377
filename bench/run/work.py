"""Where a job runs: in this process, or in one that can be killed. Plugins always run in the latter."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Self

from l2obench.bench.config.registry import identify, optimizer_registry, task_registry
from l2obench.bench.failures import Failure, ProcessLost, classify_error
from l2obench.bench.run.jobs import Job, is_foreign, run_job
from l2obench.bench.run.worker import Worker
from l2obench.optimizers.base import Optimizer
from l2obench.tasks.base import Task

# Seconds that a step of a plugin may take. All learning rates of a grid step together, so a slow step is no hang.
PLUGIN_TIMEOUT = 300.0
# For a job of ours whose process is ended from outside, as by the kernel where memory runs out.
TRIES = 3


@dataclass(frozen=True, eq=False)
class Assignment:
    """A job, and what it is given."""

    job: Job
    """One of `l2obench.bench.run.jobs`."""
    task: Task
    optimizers: Sequence[Optimizer]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """The job's keyword arguments: values that JSON can hold."""
    resources: Mapping[str, float] = field(default_factory=dict)
    """What a worker of a cluster must offer, by Dask's names."""

    @property
    def foreign(self) -> bool:
        """Whether a plugin takes part."""
        return is_foreign(self.task) or any(is_foreign(optimizer) for optimizer in self.optimizers)

    @property
    def only_here(self) -> bool:
        """Whether a class takes part that no other process can import."""
        return is_only_here(self.task) or any(map(is_only_here, self.optimizers))


def announce(assignment: Assignment, report: Callable[[str], Any]) -> Callable[[str], Any]:
    """Make a callback that reports each part of a job, after the identities that it belongs to.

    Args:
        assignment: the job.
        report: called with a line.
    """
    names = " ".join([identify(assignment.task), *map(identify, assignment.optimizers)])
    return lambda part: report(f"{names}: {part}")


@dataclass(frozen=True)
class Answer:
    """The result of an assignment, or why there is none."""

    assignment: Assignment
    result: Any = None
    failure: Failure | None = None
    stopped_by: Exception | None = None
    """What failed, where it was neither the task nor the optimizer: the run stops, and no row says anything."""


class Work:
    """Runs jobs: those with plugins in a separate process, others here unless asked otherwise.

    Args:
        timeout: seconds that a step may take. Given one, all jobs run in a separate process.
        apart: run all jobs in a separate process, also without a timeout.
        stop: once its other end is closed, jobs in a separate process are given up.
    """

    def __init__(self, timeout: float | None, *, apart: bool = False, stop: Connection | None = None) -> None:
        self._apart = apart or timeout is not None
        # Two processes: a plugin may change torch's global settings, which must not reach our own tasks and optimizers.
        self._own_worker = Worker(timeout, stop)
        self._plugin_worker = Worker(PLUGIN_TIMEOUT if timeout is None else timeout, stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes, if there are any."""
        self._own_worker.close()
        self._plugin_worker.close()

    def do(self, assignment: Assignment, on_part: Callable[[str], Any] = lambda _: None) -> Any:
        """Run a job.

        Args:
            assignment: the job.
            on_part: called with the name of each part that the job begins.

        Returns:
            What the job returns.

        Raises:
            Failure: the task's or an optimizer's own code failed, or the process that ran it.
            RunStopped: anything else did.
        """
        if assignment.foreign and not assignment.only_here:
            return _run_apart(self._plugin_worker, assignment, on_part)
        if self._apart and not assignment.only_here:
            return self._try_apart(assignment, on_part)
        here = assignment
        return run_job(here.job, here.task, here.optimizers, lambda part=None: part and on_part(part), here.arguments)

    def answer(self, assignment: Assignment, on_part: Callable[[str], Any] = lambda _: None) -> Answer:
        """Run a job, and give its result, its failure, or what stops the run as an answer.

        Args:
            assignment: the job, and what it is run on.
            on_part: called with the name of each part that the job begins.
        """
        try:
            return Answer(assignment, result=self.do(assignment, on_part))
        except Failure as failure:
            return Answer(assignment, failure=failure)
        # Another thread waits for the answer, and raises it there.
        except Exception as error:
            return Answer(assignment, stopped_by=classify_error(error, foreign=assignment.foreign))

    def _try_apart(self, assignment: Assignment, on_part: Callable[[str], Any]) -> Any:
        for attempt in range(1, TRIES + 1):
            try:
                return _run_apart(self._own_worker, assignment, on_part)
            except ProcessLost as lost:
                if attempt == TRIES:
                    raise Failure("error", f"{lost.reason}, {TRIES} times", lost.at) from lost
        raise AssertionError("unreachable")


def is_only_here(model: Task | Optimizer) -> bool:
    """Say whether a model is of a class that no other process can import, as those of a notebook are.

    Args:
        model: the task or the optimizer.
    """
    registry = task_registry() if isinstance(model, Task) else optimizer_registry()
    return model.name in registry.own_classes


def _run_apart(worker: Worker, assignment: Assignment, on_part: Callable[[str], Any]) -> Any:
    names = [identify(optimizer) for optimizer in assignment.optimizers]
    job, task, arguments = assignment.job.__name__, identify(assignment.task), dict(assignment.arguments)
    return worker.run_job(job, task, names, arguments, on_part)
