"""Where a job is done: here, or, if code that is not ours takes part, in a process that can be killed."""

from collections.abc import Callable
from typing import Any, Self

from bench.jobs import Job
from bench.registry import identity_of, optimizer_registry, task_registry
from bench.worker import Worker
from optimizers.base import Optimizer
from tasks.base import Task

PLUGIN_TIMEOUT = 300.0  # seconds; a slow step of a whole grid of learning rates is no hang


class Work:
    """Does jobs, those of plugins apart.

    Args:
        timeout: seconds that a step may take; given one, all jobs are done apart.
    """

    def __init__(self, timeout: float | None) -> None:
        self._everything = timeout is not None
        self._worker = Worker(PLUGIN_TIMEOUT if timeout is None else timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.close()

    def do(
        self,
        job: Job,
        task: Task,
        optimizers: list[Optimizer],
        on_part: Callable[[str], Any] = lambda _: None,
        **arguments: Any,
    ) -> Any:
        """The result of a job of `bench.jobs`.

        Raises:
            Failure: the job was done apart, and failed.
            Exception: what the job raised here.
        """
        if self._everything or is_foreign(task) or any(is_foreign(optimizer) for optimizer in optimizers):
            names = [identity_of(optimizer) for optimizer in optimizers]
            return self._worker.do(job.__name__, identity_of(task), names, arguments, on_part)
        return job(task, optimizers, lambda part=None: part and on_part(part), **arguments)


def is_foreign(model: Task | Optimizer) -> bool:
    """Whether a task or an optimizer is not ours."""
    registry = task_registry() if isinstance(model, Task) else optimizer_registry()
    return registry.foreign(model.name)
