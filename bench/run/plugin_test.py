"""`l2obench test-plugin`: whether a task or an optimizer meets the requirements that the engine relies on.

`bench/contract/` lists the requirements. Each is asked for in a worker process (`bench/run/worker.py`), so that a
plugin that hangs or crashes is a finding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from l2obench.bench.config.entries import Entries
from l2obench.bench.config.identity import parse_identity
from l2obench.bench.config.registry import (
    Registry,
    UnknownName,
    identify,
    optimizer_registry,
    task_registry,
)
from l2obench.bench.contract import optimizer_requirements, task_requirements
from l2obench.bench.contract.module_requirements import requirements_of
from l2obench.bench.failures import Failure
from l2obench.bench.run.worker import Worker
from l2obench.foundation.names import explain_unknown
from l2obench.tasks.base import Task

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Finding:
    """What came of one requirement."""

    requirement: str
    """Its name in `REQUIREMENTS`."""
    status: Status
    finding: str
    """What is wrong, or why the requirement was skipped; empty where it is met."""


@dataclass(frozen=True)
class Subject:
    """The task or optimizer that is tested."""

    kind: Literal["task", "optimizer"]
    identity: str
    model: Any


def find_subject(identity: str) -> Subject:
    """Find the task or optimizer of an identity.

    Args:
        identity: a registered name or a dotted path, with parameters or without.

    Raises:
        IdentityError, UnknownName, BadParameters: there is none, or it is neither.
    """
    name = parse_identity(identity)[0]
    tasks, optimizers = task_registry(), optimizer_registry()
    known = {*tasks.entries, *optimizers.entries}
    if name in known:
        is_task = name in tasks.entries
    elif "." in name or ":" in name:
        is_task = leads_to_task(name)
    else:
        unknown = explain_unknown("task or optimizer", name, known)
        raise UnknownName(f"{unknown}. Or give a dotted path such as mypkg.opt:MyOptimizer")
    model = (tasks if is_task else optimizers).create(identity)
    return Subject("task" if is_task else "optimizer", identify(model), model)


def leads_to_task(path: str) -> bool:
    """Whether a dotted path or a file's path leads to a class of tasks.

    Args:
        path: such as `mypackage.mine:MyTask` or `./mine.py:MyTask`.

    Raises:
        UnknownName, PluginFileError: it leads to nothing.
    """
    found = Registry("task or optimizer", Entries({})).resolve(path)
    return isinstance(found, type) and issubclass(found, Task)


def examine(subject: Subject, timeout: float) -> Iterator[Finding]:
    """Ask for each requirement in turn.

    Args:
        subject: what is tested.
        timeout: seconds that one requirement may take.

    Returns:
        A finding for each requirement, in their order, as soon as it is there. After one that hung the others are
        skipped: each would cost the timeout again.
    """
    is_task = subject.kind == "task"
    first = list(requirements_of(subject.model)) if is_task else []
    names = [*first, *(task_requirements.REQUIREMENTS if is_task else optimizer_requirements.REQUIREMENTS)]
    task, optimizers = (subject.identity, []) if is_task else (None, [subject.identity])
    hung = blocked = False
    # A task that lacks its model fails whatever needs one: its author should read that once.
    said: set[str] = set()
    with Worker(timeout) as worker:
        for name in names:
            if hung:
                yield Finding(name, "skipped", "an earlier requirement hung")
                continue
            if blocked and name not in first:
                yield Finding(name, "skipped", "needs what failed above")
                continue
            try:
                skipped = worker.run_job("require", task, optimizers, {"name": name})
            except Failure as failure:
                hung, blocked = failure.status == "timeout", blocked or name in first
                reason = f"no answer within {timeout:g} s" if hung else failure.reason
                again = reason in said
                said.add(reason)
                yield Finding(name, *(("skipped", "needs what failed above") if again else ("failed", reason)))
            else:
                yield Finding(name, "skipped" if skipped else "passed", skipped or "")
