"""The executor on this machine: as many processes as it has cores, with one thread each."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from l2obench.bench.failures import GivenUp
from l2obench.bench.run.executors.base import Executor
from l2obench.bench.run.work import Answer, Assignment, Work, announce


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class LocalExecutor(Executor):
    """Runs assignments in separate processes. A thread of this process waits for each of them.

    A job of ours whose process is ended from outside is tried again, a few times. If that fails too, its rows say so.

    Args:
        processes: how many; none: one for each core.
        timeout: seconds that a step may take; none: plugins have the default, ours as long as they need.
        report: called with a line for each part of a job that begins.
    """

    def __init__(
        self,
        processes: int | None = None,
        timeout: float | None = None,
        report: Callable[[str], Any] = lambda _: None,
    ) -> None:
        super().__init__(report)
        self.processes = processes or cores()
        self.timeout = timeout
        self._submitted: SimpleQueue[Assignment | None] = SimpleQueue()
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        self._stop, self._stopped_by = multiprocessing.Pipe(duplex=False)
        self._threads: list[threading.Thread] = []

    def submit(self, assignment: Assignment) -> None:
        if len(self._threads) < self.processes:
            self._threads.append(threading.Thread(target=self._serve, daemon=True))
            self._threads[-1].start()
        self._submitted.put(assignment)

    def finished(self) -> Answer:
        return self._answers.get()

    def room(self, needed: Mapping[str, float]) -> int:
        return self.processes

    def processes_here(self) -> int:
        return self.processes

    def places(self) -> str:
        return f"{self.processes} processes"

    def close(self) -> None:
        self._stopped_by.close()
        for _ in self._threads:
            self._submitted.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _serve(self) -> None:
        with Work(self.timeout, apart=True, stop=self._stop) as work:
            while (assignment := self._submitted.get()) is not None and not self._stopped_by.closed:
                try:
                    self._answers.put(work.answer(assignment, announce(assignment, self.report)))
                except GivenUp:
                    return
