"""The executor that is a Dask cluster: one given by its scheduler's address, or worker processes on this machine.

Requests and answers are JSON, and travel through Dask: workers share neither a file system nor a folder with this
process. What a worker needs once, the checkpoints among it, goes to each by a plugin of Dask's, to late ones too.

Dask runs the jobs of a dead worker again and gives up a job whose workers keep dying. It counts a death against all that
its worker held, so a job that was given up is tried once more while nothing else runs: none is blamed for its neighbour.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.executors.base import Executor, ExecutorError
from bench.executors.local import cores
from bench.executors.place import Place, do_request, to_request
from bench.failures import Failure
from bench.work import Answer, Assignment

if TYPE_CHECKING:
    from distributed import Client, Future

AHEAD = 2  # assignments under way for each that can run at once: no worker waits, and few are lost with one
LOOK_SECONDS = 1.0  # how often workers are counted
CONNECT_SECONDS = 20
TOPIC = "l2obench"


class DaskExecutor(Executor):
    """Does assignments on the workers of a Dask cluster.

    Args:
        scheduler: its address, or the path of its scheduler file; none: workers are started on this machine.
        processes: how many are started; none: one for each core.
        timeout: seconds that a step may take; none: plugins have the default, ours as long as they need.
        resources: what a worker must offer for any assignment, besides what that asks for itself.
        files: checkpoints by the path that identities give them.
        report: called with a line for each part of a job that begins.

    Raises:
        ExecutorError: on entering: Dask is not installed, or nothing answers at the address.
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
        self._place = Place(timeout, dict(files or {}))
        self._client: Client | None = None
        self._cluster: Any = None
        self._under_way: dict[Future, Assignment] = {}
        self._suspects: list[Assignment] = []
        self._alone: Assignment | None = None
        self._seen: tuple[float, dict[str, Any]] = (-LOOK_SECONDS, {})

    def __enter__(self) -> "DaskExecutor":
        try:
            import distributed  # noqa: F401
        except ImportError as error:
            raise ExecutorError("--executor dask needs Dask: pip install 'l2obench[dask]'") from error
        if self.scheduler is not None:
            self._client = _connected(self.scheduler)
        return self

    def submit(self, assignment: Assignment) -> None:
        client = self._connect()
        future = client.submit(
            do_request,
            to_request(assignment),
            key=f"{assignment.job.__name__}-{id(assignment):x}-{time.monotonic_ns():x}",
            resources={**self.resources, **assignment.resources} or None,
            pure=False,
        )
        self._under_way[future] = assignment

    def finished(self) -> Answer:
        from distributed import wait

        while True:
            if not self._under_way:
                self._alone = self._suspects.pop(0)
                self.submit(self._alone)
            for future in wait(list(self._under_way), return_when="FIRST_COMPLETED").done:
                if (answer := self._taken(future)) is not None:
                    return answer

    def room(self, needed: Mapping[str, float]) -> int:
        needed = {**self.resources, **needed}
        return AHEAD * sum(_places(worker, needed) for worker in self._workers().values())

    def places(self) -> str:
        workers = self._workers()
        return f"{len(workers)} workers, {sum(worker['nthreads'] for worker in workers.values())} threads"

    def close(self) -> None:
        if self._client is not None:
            if self._client.status == "running":
                self._client.cancel(list(self._under_way), force=True)
            self._client.close()
        if self._cluster is not None:
            self._cluster.close()
        self._client = self._cluster = None
        self._under_way = {}

    def _connect(self) -> "Client":
        if self._client is None:
            self._cluster = _local_cluster(self.processes)
            self._client = _connected(self._cluster)
        return self._client
