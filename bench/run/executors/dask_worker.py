"""What a worker of a Dask cluster does for a run: from a request in JSON to an answer in JSON.

A worker is another machine: what it would compute with is held to what the run was planned with, before it computes.
"""

import json
import multiprocessing
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import distributed

from l2obench.bench.config.identity import format_identity, parse_identity
from l2obench.bench.config.registry import identify, optimizer_registry, task_registry
from l2obench.bench.failures import GivenUp
from l2obench.bench.process import set_up_process
from l2obench.bench.run.jobs import JOBS, is_foreign
from l2obench.bench.run.work import Assignment, Work, announce
from l2obench.bench.store.environment import versions
from l2obench.foundation.errors import describe_error, describe_message
from l2obench.optimizers.base import Optimizer
from l2obench.tasks.base import Task

DECISIVE = ("l2obench", "torch")


class NotReady(RuntimeError):
    """A worker lacks something, or has another version of it: its numbers would not be the run's."""


def to_request(assignment: Assignment) -> bytes:
    """Write an assignment as JSON, with what a worker must find at home.

    Args:
        assignment: its task and optimizers go by their identities.
    """
    optimizers = [identify(optimizer) for optimizer in assignment.optimizers]
    request = {
        "job": assignment.job.__name__,
        "task": identify(assignment.task),
        "optimizers": optimizers,
        "arguments": dict(assignment.arguments),
        "expected": _fingerprint(assignment.task, assignment.optimizers),
    }
    return json.dumps(request).encode()


def do_request(place: str, request: bytes) -> bytes:
    """Answer a request, on a worker that was given this place.

    Args:
        place: the name of the run's `Place`.
        request: as `to_request` writes it.

    Returns:
        JSON, as `Place.do` gives it.

    Raises:
        NotReady: this worker would compute something else.
    """
    found: Place = distributed.get_worker().plugins[place]  # type: ignore[assignment]
    return json.dumps(found.do(json.loads(request))).encode()


class Place(distributed.WorkerPlugin):
    """What a run has on a worker: its checkpoints, and the processes in which plugins run.

    Args:
        name: unique among the runs of this scheduler; it reports under this name.
        timeout: seconds that a step may take; none: plugins have the default, ours as long as they need.
        files: checkpoints by the path that identities give them; they are written beside the worker's own files.
    """

    def __init__(self, name: str, timeout: float | None, files: Mapping[str, bytes]) -> None:
        self.name = name
        self.timeout = timeout
        self.files = dict(files)

    def setup(self, worker: distributed.Worker) -> None:
        # Dask's processes are daemons, which may have no children; ours end with their parent all the same.
        multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
        self._idle: SimpleQueue[Work] = SimpleQueue()
        self._stop, self._stopped_by = multiprocessing.Pipe(duplex=False)
        self._worker = worker
        self._read: set[str] = set()
        self._paths: dict[str, str] = {}
        for number, (path, content) in enumerate(self.files.items()):
            local = Path(worker.local_directory) / f"{self.name}-{number}.safetensors"
            local.write_bytes(content)
            self._paths[path] = str(local)

    def teardown(self, worker: distributed.Worker) -> None:
        self._stopped_by.close()
        while not self._idle.empty():
            self._idle.get().close()
        for path in self._paths.values():
            Path(path).unlink(missing_ok=True)

    def do(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run a job, and give `{"result": …}`, or `{"failure": [status, reason, at]}`.

        Args:
            request: job, identities and arguments, as `to_request` makes it.

        Raises:
            NotReady: this worker would compute something else.
        """
        set_up_process()  # in every thread of the worker: the number of threads is one of those things
        task, optimizers = self._made(request)
        assignment = Assignment(JOBS[request["job"]], task, optimizers, request["arguments"])
        try:
            work = self._idle.get_nowait()
        except Empty:
            work = Work(self.timeout, stop=self._stop)
        try:
            answer = work.answer(assignment, announce(assignment, self._tell))
        except GivenUp:
            raise NotReady("its run has ended") from None
        finally:
            self._idle.put(work)
        if answer.stopped_by is not None:
            raise NotReady(describe_message(answer.stopped_by))
        if (failure := answer.failure) is not None:
            return {"failure": [failure.status, failure.reason, failure.at]}
        return {"result": answer.result}

    def _tell(self, line: str) -> None:
        self._worker.log_event(self.name, line)

    def _made(self, request: dict[str, Any]) -> tuple[Task, list[Optimizer]]:
        try:
            task: Task = task_registry().create(request["task"])
            names = [self._with_local_files(name) for name in request["optimizers"]]
            optimizers = [optimizer_registry().create(name).for_groups(task.groups) for name in names]
            self._require_data(task)
        except Exception as error:
            raise NotReady(describe_error(error)) from None
        found, expected = _fingerprint(task, optimizers), request["expected"]
        if different := sorted(name for name in expected if expected[name] != found[name]):
            lines = [f"{name} is {found[name]}, expected {expected[name]}" for name in different]
            raise NotReady("; ".join(lines))
        return task, optimizers

    def _require_data(self, task: Task) -> None:
        """Once for each task, since data may be large and are hashed. A plugin's error shows in its rows."""
        name = identify(task)
        if name not in self._read:
            try:
                task.require_data()
            except FileNotFoundError:
                raise
            except Exception:
                if not is_foreign(task):
                    raise
            self._read.add(name)

    def _with_local_files(self, identity: str) -> str:
        name, parameters = parse_identity(identity)
        here = {
            key: self._paths.get(value, value) if isinstance(value, str) else value for key, value in parameters.items()
        }
        return format_identity(name, here)


def _fingerprint(task: Task, optimizers: Sequence[Optimizer]) -> dict[str, Any]:
    """What decides numbers besides a request."""
    return {
        **_versions(),
        f"version of {task.name}": task.version,
        f"SHA-256 of the start of {task.name}": getattr(task, "start_sha256", None),
        **{f"version of {optimizer.name}": optimizer.version for optimizer in optimizers},
        **{
            f"SHA-256 of the checkpoint of {optimizer.name}": getattr(optimizer, "checkpoint_sha256", None)
            for optimizer in optimizers
        },
    }


@cache
def _versions() -> dict[str, Any]:
    found = versions()
    return {name: found[name] for name in DECISIVE}
