"""A separate process for code that may hang or crash: it is asked for jobs by name, and killed when it goes silent.

Requests and answers are JSON: names and plain values, no objects and no code. The process is made by 'spawn', once, and
again after a kill. It computes the numbers that this process would compute.
"""

import atexit
import contextlib
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from l2obench.bench.failures import Failure, GivenUp, ProcessLost, RunStopped
from l2obench.foundation.errors import describe_error, describe_message

# Seconds for Python, torch and a plugin's imports on a busy machine; no step has begun until then.
START_SECONDS = 120.0
# Messages that a step is finished come no more often than this: short steps would spend their time on the pipe.
QUIET_SECONDS = 0.1


class Worker:
    """Runs jobs in another process.

    Args:
        timeout: seconds that the process may go without finishing a step, before it is killed. None: for ever.
        stop: once its other end is closed, the job is given up and the process killed.
    """

    def __init__(self, timeout: float | None, stop: Connection | None = None) -> None:
        self.timeout = timeout
        self._stop = stop
        self._process: Any = None
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run_job(
        self,
        job: str,
        task: str | None,
        optimizers: list[str],
        arguments: dict[str, Any],
        on_part: Callable[[str], Any] = lambda _: None,
    ) -> Any:
        """Run a job.

        Args:
            job: its name in `l2obench.bench.run.jobs.JOBS`.
            task: the task's identity; None for a requirement of an optimizer.
            optimizers: identities.
            arguments: the job's keyword arguments: values that JSON can hold.
            on_part: called with the name of each part that the job begins.

        Returns:
            What the job returns, after its way through JSON.

        Raises:
            Failure: the task's or an optimizer's own code raised, or its process was silent for
                too long, or ended. The next job gets a new one.
            RunStopped: anything else raised.
            GivenUp: the job was given up, since the run ends.
        """
        request = {"job": job, "task": task, "optimizers": optimizers, "arguments": arguments}
        part: str | None = None
        limit = None if self.timeout is None else max(START_SECONDS, self.timeout)
        try:
            self._send(request)
            while (answer := self._answer(limit, part)).keys() == {"part"}:
                limit = self.timeout
                if answer["part"] is not None:
                    part = answer["part"]
                    on_part(answer["part"])
        # The answer of a job that was not waited for must not be taken for the next one's.
        except BaseException:
            self.close()
            raise
        if "stopped_by" in answer:
            raise RunStopped(answer["stopped_by"])
        if "error" in answer:
            raise Failure("error", answer["error"], part)
        return answer.get("result")

    def _send(self, request: dict[str, Any]) -> None:
        connection = self._connected()
        try:
            connection.send_bytes(json.dumps(request).encode())
        except OSError as error:
            raise ProcessLost("error", f"its process {self._end()}") from error

    def _answer(self, limit: float | None, part: str | None) -> dict[str, Any]:
        """The next message: that the job proceeds, or its end."""
        connection = self._connected()
        try:
            ready = wait([connection, self._stop] if self._stop else [connection], limit)
            if self._stop in ready:
                raise GivenUp
            if not ready:
                raise Failure("timeout", f"no step was finished within {limit:g} s; its process was killed", part)
            return dict(json.loads(connection.recv_bytes()))
        except (EOFError, OSError, ValueError, TypeError) as error:
            raise ProcessLost("error", f"its process {self._end()}", part) from error

    def close(self) -> None:
        """Kill the process, if there is one."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):  # it has ended, with all of its children
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()  # where it had not come to have a group of its own
            self._process.join()
            atexit.unregister(self.close)
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None

    def _connected(self) -> Connection:
        if self._connection is None:
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            # A daemon could have no children, and a plugin's DataLoader has workers.
            self._process = context.Process(target=_serve, args=(theirs,))
            self._process.start()
            theirs.close()
            atexit.register(self.close)  # before multiprocessing waits there for processes that are no daemons
        return self._connection

    def _end(self) -> str:
        """Say how the process ended; one that is still there is killed."""
        # Not `join`: it waits for a pipe to close that the process's own children may hold open.
        deadline = time.monotonic() + 1
        while (code := self._process.exitcode) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        self.close()
        if code is None:
            return "closed its pipe, and was killed"
        if code < 0:
            return f"was ended by signal {signal.Signals(-code).name}"
        return f"ended itself with exit code {code}"


def _serve(connection: Connection) -> None:
    """The process's side: one request after the other, until the pipe closes."""
    # Ctrl-C reaches all processes of a terminal; the other side decides when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)  # what a plugin prints is no part of the command's answer, which may be JSON
    # A spawned process would spawn its own children too, each with all imports anew; a user's script would not.
    multiprocessing.set_start_method(None, force=True)
    os.setpgid(0, 0)  # so that it is ended with its children
    os.register_at_fork(after_in_child=connection.close)  # the other side waits for it to close
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from l2obench.bench.process import set_up_process

    set_up_process()
    while True:
        try:
            request = json.loads(connection.recv_bytes())
        except EOFError:
            return
        try:
            answer = json.dumps({"result": _do(connection, request)})
        except Failure as failure:
            answer = json.dumps({"error": failure.reason})
        except Exception as error:
            answer = json.dumps({"stopped_by": describe_message(error)})
        # `sys.exit` and the like, which a plugin raised: no signal of ours does that here.
        except BaseException as error:
            answer = json.dumps({"error": describe_error(error)})
        connection.send_bytes(answer.encode())


def _do(connection: Connection, request: dict[str, Any]) -> Any:
    from l2obench.bench.config.identity import parse_identity
    from l2obench.bench.config.registry import optimizer_registry, task_registry
    from l2obench.bench.run.jobs import JOBS, run_job

    last = -QUIET_SECONDS

    def progress(part: str | None = None) -> None:
        nonlocal last
        now = time.monotonic()
        if part is not None or now - last >= QUIET_SECONDS:
            connection.send_bytes(json.dumps({"part": part}).encode())
            last = now

    try:
        task = None if request["task"] is None else task_registry().create(request["task"])
        optimizers = [optimizer_registry().create(name) for name in request["optimizers"]]
        if task is not None:
            optimizers = [optimizer.for_groups(task.groups) for optimizer in optimizers]
    # A plugin's module may do other things here than where the run was planned; ours is found, or the run stops.
    except Exception as error:
        named = [(optimizer_registry(), name) for name in request["optimizers"]]
        named += [] if request["task"] is None else [(task_registry(), request["task"])]
        if any(registry.foreign(parse_identity(name)[0]) for registry, name in named):
            raise Failure("error", describe_error(error)) from error
        raise
    progress()
    return run_job(JOBS[request["job"]], task, optimizers, progress, request["arguments"])


def _end_with_parent() -> None:
    """A process whose parent was killed ends as well, even in the middle of a job."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.killpg(0, signal.SIGKILL)
