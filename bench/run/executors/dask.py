"""The executor that is a Dask cluster: one given by its scheduler's address, or worker processes on this machine.

Requests and answers are JSON and travel through Dask: workers need share no file system with this process. What a
worker needs once, checkpoints among it, reaches each by a plugin of Dask's, late ones too (`dask_worker.py`).

Dask runs the jobs of a dead worker again, and gives up a job whose workers keep dying. It counts a death against all
that the worker held, so a job that was given up is tried again while nothing else runs: none is blamed for another.
"""

import contextlib
import json
import logging
import math
import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import dask
import distributed

from l2obench.bench.failures import Failure
from l2obench.bench.run.executors.base import Executor, ExecutorError
from l2obench.bench.run.executors.dask_worker import NotReady, Place, do_request, to_request
from l2obench.bench.run.executors.local import cores
from l2obench.bench.run.work import Answer, Assignment
from l2obench.foundation.errors import describe_error

# Assignments under way for each that can run. With two no worker waits for this process; more would be lost with a
# worker that dies.
AHEAD = 2
# Workers are counted no more often: each count asks the scheduler.
COUNT_SECONDS = 1.0
POLL_SECONDS = 0.05
# Without any worker for so long: of a cluster that others run it is said, one of ours has given up its processes.
LOST_SECONDS = 60.0
CONNECT_SECONDS = 20
# Tries to reach all workers at the start; in each of them one may die.
PLACE_TRIES = 5
# Deaths after which a job is given up, on workers that we start. Other clusters have a setting of their own.
LOCAL_TRIES = 2


class DaskExecutor(Executor):
    """Runs assignments on the workers of a Dask cluster.

    Args:
        scheduler: its address, or the path of its scheduler file; none: workers are started on this machine.
        processes: how many are started; none: one for each core.
        timeout: seconds that a step may take; none: plugins have the default, ours as long as they need.
        resources: what a worker must offer for any assignment, unless that says otherwise itself.
        files: checkpoints by the path that identities give them.
        report: called with a line for each part of a job that begins.

    Raises:
        ExecutorError: on entering: nothing answers at the address, or its workers are not fit.
    """

    def __init__(
        self,
        scheduler: str | None = None,
        processes: int | None = None,
        timeout: float | None = None,
        resources: Mapping[str, float] | None = None,
        files: Mapping[str, bytes] | None = None,
        report: Callable[[str], Any] = lambda _: None,
    ) -> None:
        super().__init__(report)
        self.scheduler = scheduler
        self.processes = processes or cores()
        self.resources = dict(resources or {})
        self._place = Place(f"l2obench-{uuid.uuid4().hex}", timeout, files or {})
        self._cluster: Any = None
        self._client: Any = None
        self._completed: Any = None
        self._under_way: dict[str, Assignment] = {}
        self._suspects: list[Assignment] = []
        self._alone: Assignment | None = None
        self._counted_at, self._workers = -math.inf, dict[str, Any]()
        self._warned = False
        self._lost_since: float | None = None

    def __enter__(self) -> Self:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters of it becomes one line of ours
        if self.scheduler is not None:
            self._connect()
        return self

    def submit(self, assignment: Assignment) -> None:
        needed = {**self.resources, **assignment.resources}
        client, request = self._connect(), to_request(assignment)
        try:
            future = client.submit(do_request, self._place.name, request, resources=needed or None, pure=False)
        except (RuntimeError, OSError) as error:
            raise self._gone() from error
        self._under_way[future.key] = assignment
        self._completed.add(future)

    def finished(self) -> Answer:
        while True:
            if not self._under_way:
                self._alone = self._suspects.pop(0)
                self.submit(self._alone)
            self._wait_for_result()
            future, result = next(self._completed)
            if (answer := self._answer(future, result)) is not None:
                return answer

    def room(self, needed: Mapping[str, float]) -> int:
        needed = {**self.resources, **needed}
        places = sum(_places(worker, needed) for worker in self._count_workers().values())
        if not places and not self._warned:
            self._warned = True
            lacking = " with " + ", ".join(f"{name}={value:g}" for name, value in needed.items()) if needed else ""
            self.report(f"waiting: none of {len(self._workers)} workers is one{lacking}")
        return AHEAD * places

    def processes_here(self) -> int:
        return self.processes if self.scheduler is None else 1

    def places(self) -> str:
        workers = self._count_workers().values()
        return f"{len(workers)} workers, {sum(worker['nthreads'] for worker in workers)} threads"

    def close(self) -> None:
        if self._client is not None:
            with contextlib.suppress(Exception):  # a scheduler that is gone needs no goodbye
                if self._client.status == "running":
                    self._client.unregister_worker_plugin(self._place.name)
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()
        self._cluster = self._client = None

    def _connect(self) -> Any:
        """The client. Workers of ours are started when the first assignment is: nothing runs beside the timing pass."""
        if self._client is not None:
            return self._client
        if self.scheduler is None:
            with dask.config.set({"distributed.scheduler.allowed-failures": LOCAL_TRIES - 1}):
                self._cluster = distributed.LocalCluster(
                    n_workers=self.processes,
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
        try:
            if self.scheduler is not None and os.path.isfile(Path(self.scheduler)):
                self._client = distributed.Client(scheduler_file=self.scheduler, timeout=CONNECT_SECONDS)
            else:
                self._client = distributed.Client(self._cluster or self.scheduler, timeout=CONNECT_SECONDS)
        except (OSError, ValueError, TypeError) as error:
            raise ExecutorError(
                f"--scheduler {self.scheduler} cannot be reached: {describe_error(error)}. "
                "Try: an address such as tcp://host:8786, or the path of a scheduler file"
            ) from error
        self._completed = distributed.as_completed(loop=self._client.loop, with_results=True, raise_errors=False)
        self._client.subscribe_topic(self._place.name, lambda event: self.report(event[1]))
        try:
            self._take_place(self._client)
        except Exception as error:  # whatever keeps a worker from taking it
            self.close()
            raise ExecutorError(f"the workers of {self._where()} are not fit: {describe_error(error)}") from error
        return self._client

    def _take_place(self, client: Any) -> None:
        """Give every worker, and those that come later, what the run has on a worker."""
        for left in reversed(range(PLACE_TRIES)):
            try:
                client.register_plugin(self._place)
                return
            except OSError:  # one of them ended meanwhile
                if not left:
                    raise

    def _where(self) -> str:
        return self.scheduler or "the cluster on this machine"

    def _gone(self) -> ExecutorError:
        what = "finished cells are kept, and the same command continues from there"
        return ExecutorError(f"{self._where()} went away: {what}", exit_code=3)

    def _count_workers(self) -> dict[str, Any]:
        """The workers as they were at most a second ago."""
        if self._client is None:
            return {str(number): {"nthreads": 1, "resources": {}} for number in range(self.processes)}
        now = time.monotonic()
        if now - self._counted_at > COUNT_SECONDS:
            # A scheduler that is gone shows in what is under way.
            with contextlib.suppress(OSError):
                self._workers = dict(self._client.scheduler_info()["workers"])
            self._counted_at = now
        return self._workers

    def _wait_for_result(self) -> None:
        """Wait until something is finished.

        Raises:
            ExecutorError: all worker processes that we started are gone, and none comes back.
        """
        while not self._completed.has_ready():
            if self._count_workers():
                self._lost_since = None
            elif self._lost_since is None:
                self._lost_since = time.monotonic()
            elif time.monotonic() - self._lost_since > LOST_SECONDS:
                if self.scheduler is None:
                    raise self._gone()
                self._lost_since = math.inf  # said once
                self.report(f"waiting: {self._where()} has no worker left")
            time.sleep(POLL_SECONDS)

    def _answer(self, future: Any, result: Any) -> Answer | None:
        """Turn a finished future into an answer; None if its job is to be tried again.

        Raises:
            ExecutorError: the cluster is gone, or a worker is not fit; the job is not to blame.
        """
        assignment = self._under_way.pop(future.key)
        if future.status == "finished":
            answer = json.loads(result)
            failure = Failure(*answer["failure"]) if "failure" in answer else None
            return Answer(assignment, answer.get("result"), failure)
        if future.status != "error":
            raise self._gone()
        error = result[1]
        if not isinstance(error, distributed.KilledWorker):
            what = str(error) if isinstance(error, NotReady) else describe_error(error)
            raise ExecutorError(f"a worker of {self._where()} cannot run its job: {what}")
        if assignment is not self._alone:
            self._suspects.append(assignment)
            return None
        # Once among others and once alone, each time on as many workers as Dask allows to die.
        deaths = 2 * (error.allowed_failures + 1)
        return Answer(assignment, failure=Failure("error", f"its worker's process ended, {deaths} times"))


def _places(worker: Mapping[str, Any], needed: Mapping[str, float]) -> int:
    """How many assignments a worker can do at once."""
    offered = worker["resources"]
    return min([int(worker["nthreads"]), *(int(offered.get(name, 0) // amount) for name, amount in needed.items())])
